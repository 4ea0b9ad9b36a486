# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose kernel panics, as pvpanic tells QEMU, in the history of a real libvirt."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlog.history.model import FaultKind, Source
from kvmlog.vmstats.sample import State
from tests.support.history_process import history
from tests.support.libvirt_guest import libvirt_guest
from tests.support.libvirt_host import LibvirtHost
from tests.support.vmstats_process import collector

# QEMU's docs/specs/pvpanic.rst: the port of the ISA device, and the bit that means a panic.
_PANIC = r"printf '\001' | dd of=/dev/port bs=1 seek=1285 conv=notrunc"


@pytest.mark.parametrize(
    ("on_crash", "state"), [("destroy", State.SHUTOFF), ("preserve", State.CRASHED)]
)
def test_a_guest_that_panics(
    libvirtd: LibvirtHost, tmp_path: Path, on_crash: str, state: State
) -> None:
    """One fault, however often it is told. Nobody stopped it."""
    with (
        history(tmp_path) as kept,
        collector(tmp_path, libvirtd.read_only_uri) as collecting,
    ):
        collecting.until(lambda now: now.collector.connections[0].connected)
        with libvirt_guest(libvirtd, f"panic-{on_crash}", on_crash=on_crash) as guest:
            guest.run("true")
            kept.until(lambda _: "start" in kept.names(guest.uuid))
            guest.send(_PANIC)
            kept.until(lambda _: kept.faults(guest.uuid))

            def settled(reader: object) -> bool:
                life = kept.reader.last_life(guest.uuid)
                return life is not None and life.state == state

            kept.until(settled)
            (fault,) = kept.faults(guest.uuid)
            assert (fault.kind, fault.source) == (FaultKind.CRASHED, Source.EVENT)
            assert fault.message == "The guest crashed"
            # QEMU pauses it first, which libvirt may tell.
            assert kept.names(guest.uuid) in (["create", "start"], ["create", "start", "pause"])
            life = kept.reader.last_life(guest.uuid)
            assert life is not None
            # Preserved it still has its process.
            assert (life.runs[-1].ended is None) == (on_crash == "preserve")
