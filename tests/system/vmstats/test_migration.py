# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain that migrates from one libvirt to another, both collected from."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from kvmlog.vmstats.sample import Sample, State
from kvmlog.vmstats.snapshot import Snapshot
from tests.support.bridge_process import HANG_S, until
from tests.support.libvirt_halted import halted_domain
from tests.support.libvirt_host import LibvirtHost, libvirt_host
from tests.support.vmstats_process import collector


@pytest.fixture
def destination(libvirtd: LibvirtHost) -> Iterator[LibvirtHost]:
    """A libvirtd that takes itself for another host, which libvirt insists on."""
    assert libvirtd.daemon is not None
    with libvirt_host() as host:
        settings = host.folder / "etc" / "libvirtd.conf"
        identity = 'host_uuid = "11111111-2222-4333-8444-555555555555"\n'
        settings.write_text(settings.read_text() + identity)
        host.stop_daemon()
        host.start_daemon()
        yield host


def test_a_migration(libvirtd: LibvirtHost, destination: LibvirtHost, tmp_path: Path) -> None:
    """While its memory comes its disks are not asked for; afterwards it is at its new host only."""
    sources, incoming = libvirtd.read_only_uri, destination.read_only_uri
    with (
        halted_domain(libvirtd, "mover") as mover,
        halted_domain(destination, "other") as other,
        collector(tmp_path, sources, incoming) as running,
    ):

        def at(snapshot: Snapshot, uri: str) -> Sample | None:
            found = [vm.sample for vm in snapshot.vms if vm.sample.uuid == mover.uuid]
            return next((sample for sample in found if sample.uri == uri), None)

        def blocks(snapshot: Snapshot, uri: str) -> object:
            sample = at(snapshot, uri)
            return sample and sample.blocks

        running.until(lambda now: bool(blocks(now, sources)))
        told = libvirt.openReadOnly(incoming)
        socket = destination.folder / "migration.sock"
        moving = libvirtd.begin(
            *("virsh", "-c", "qemu:///system", "migrate", "--live", "--unsafe", mover.name),
            *(destination.uri, "--migrateuri", f"unix://{socket}"),
            log="migration.log",
        )
        limit = time.monotonic() + HANG_S
        while told.numOfDomains() < 2:
            assert moving.poll() is None
            assert time.monotonic() < limit
        # Its memory stays where it is.
        os.kill(mover.pid, signal.SIGSTOP)
        paused = running.until(lambda now: at(now, incoming) is not None)
        sample = at(paused, incoming)
        assert sample is not None
        assert (sample.state, sample.blocks) == (State.PAUSED, None)
        assert "blocks" in {absence.group for absence in sample.absent}
        assert not running.fresh(other.name).sample.timed_out
        os.kill(mover.pid, signal.SIGCONT)
        assert moving.wait(HANG_S) == 0, (libvirtd.folder / "migration.log").read_text()
        after = running.until(lambda now: at(now, sources) is None and bool(blocks(now, incoming)))
        moved = at(after, incoming)
        assert moved is not None
        assert moved.state is State.RUNNING
        destination.virsh("destroy", mover.name)
        until(lambda: told.numOfDomains() == 1)
        told.close()
