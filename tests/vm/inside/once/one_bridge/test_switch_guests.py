# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracing of chosen guests and for a time, with real guests: only theirs is in the ring.

The test's guests have no name but their process's: they are called by its comm.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import GuestRecord, Record, iter_records
from kvmlog.util.errors import SwitchError
from tests.vm.inside import host, ring_bytes, sources
from tests.vm.inside.processes import HANG_S, Bridge, kvmlog, probes, until

# Exits now and then, so that two guests and the rest go on beside each other in emulation.
LOAD = ("--turns", "0", "--kinds", "cpuid,pio", "--pause-ms", "2")


@contextlib.contextmanager
def running(name: str) -> Iterator[subprocess.Popen[str]]:
    """A guest of that name which exits until the end."""
    guest = host.start_guest("--name", name, *LOAD)
    try:
        comm = Path(f"/proc/{guest.pid}/comm")
        until(lambda: comm.read_text() == f"{name}\n", f"{name} started")
        until(lambda: holds_vm(guest.pid), f"{name}'s VM")
        yield guest
    finally:
        end(guest)


def end(guest: subprocess.Popen[str]) -> None:
    """It ends in order; a second call does nothing."""
    guest.send_signal(signal.SIGCONT)
    guest.terminate()
    guest.communicate(timeout=HANG_S)


def holds_vm(pid: int) -> bool:
    """The process has made its VM."""
    with contextlib.suppress(OSError):
        links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        return "anon_inode:kvm-vm" in links
    return False


def stop(guest: subprocess.Popen[str]) -> None:
    """It stands still, all its threads."""
    guest.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{guest.pid}/task")

    def still() -> bool:
        states = [
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()
        ]
        return set(states) == {"T"}

    until(still, "all threads stopped")


def exits(bridge: Bridge, since: int) -> list[Record]:
    """All exits in the ring from this index on."""
    found = iter_records(bridge.records(since))
    return [record for record in found if isinstance(record, Record)]


def threads(pid: int) -> set[int]:
    """Return the threads of a process, by their ids."""
    return {int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()}


def is_traced(bridge: Bridge, since: int, guest: subprocess.Popen[str]) -> bool:
    """There are exits of it in the ring."""
    its = threads(guest.pid)
    return any(record.tid in its for record in exits(bridge, since))


def filtered(bridge: Bridge) -> int:
    """Exits that the source left out, as last published."""
    return int(bridge.status()["counters"]["filtered"])


def test_only_the_chosen_guest_is_traced(bridge: Bridge) -> None:
    """Each exit of it, as the kernel counts them; the other's are counted as filtered."""
    with running("chosen-one") as chosen, running("other-one") as other:
        begin, before = bridge.info().head, filtered(bridge)
        stop(chosen)
        histogram = host.ThreadHistogram()
        pid = str(chosen.pid)
        answer = bridge.client.switch(True, vm=[pid])
        assert answer == f'ok on {{"matched": {{"{pid}": [{pid}]}}}}'
        chosen.send_signal(signal.SIGCONT)
        until(lambda: len(exits(bridge, begin)) > 200, "exits of the chosen guest")
        until(lambda: filtered(bridge) - before > 200, "exits of the other guest")
        assert bridge.status()["filter"] == {"vm": [pid], "tgids": 1}
        its, others = threads(chosen.pid), threads(other.pid)
        end(chosen)
        bridge.client.switch(False)
        counted = histogram.counts()
        histogram.close()
    found = exits(bridge, begin)
    assert Counter((record.tid, record.reason) for record in found) == {
        key: count for key, count in counted.items() if key[0] in its
    }
    assert any(tid in others for tid, _ in counted)
    notes = ring_bytes.notes(bridge.records(begin))
    (guest,) = (note for note in notes if isinstance(note, GuestRecord))
    assert guest.tgid == chosen.pid

    # The ring's readers know both by name, and show whom they are asked for.
    assert bridge.client.guests() == 0
    places = ("-n", "99999", "--ring", bridge.ring)
    shown = kvmlog("dump", *places, "--vm", "chosen-one", "--reason", "cpuid").stdout
    column = [line.split()[2] for line in shown.splitlines() if " cpuid " in line]
    assert set(column) == {f"chosen-one:{pid}"}
    assert len(column) == sum(1 for record in found if record.reason == 0x72)
    other_ones = kvmlog("dump", *places, "--vm", "other-one").stdout
    assert " cpuid " not in other_ones
    assert "tracing is on: by command, only 1 chosen process(es)" in other_ones


def test_a_later_guest_of_the_name_is_picked_up(bridge: Bridge) -> None:
    """And leaves when it ends; when all have, nobody is traced, not everybody."""
    with running("other-one"), running("picked-up") as first:
        begin = bridge.info().head
        bridge.client.switch(True, vm=["picked-up"])
        with running("picked-up") as second:
            until(lambda: is_traced(bridge, begin, second), "the second guest")
            assert bridge.status()["filter"] == {"vm": ["picked-up"], "tgids": 2}
            end(first)
            until(lambda: bridge.status()["filter"]["tgids"] == 1, "the first guest gone")
            seen = len(exits(bridge, begin))
            until(lambda: len(exits(bridge, begin)) > seen + 50, "exits of the second guest")
        until(lambda: bridge.status()["filter"]["tgids"] == 0, "all guests gone")
        notes = ring_bytes.notes(bridge.records(begin))
        traced = {note.tgid for note in notes if isinstance(note, GuestRecord)}
        assert traced == {first.pid, second.pid}
        before, last = filtered(bridge), bridge.info().head
        until(lambda: filtered(bridge) > before + 100, "exits of the other guest")
        assert exits(bridge, last) == []
        assert bridge.status()["state"] == "on"


def test_for_a_time(bridge: Bridge) -> None:
    """Off by itself, told as its lease's end, and not on again."""
    with running("chosen-one") as chosen:
        before, begin = probes(), bridge.info().head
        said = kvmlog(
            "switch", "on", "--vm", "chosen-one", "--for", "2s", "--switch", bridge.switch
        )
        assert said.stdout.startswith(f"tracing chosen-one: process {chosen.pid}\nuntil ")
        assert said.stdout.endswith(" (2 s), then off by itself\n")
        until(lambda: bridge.status()["state"] == "off", "the end of the time")
        assert bridge.status()["wanted"] == "off"
        assert probes() == before
        causes = ring_bytes.switch_causes(bridge.records(begin))
        assert causes == [(1, lib.KVMLOG_SWITCH_COMMAND), (0, lib.KVMLOG_SWITCH_LEASE)]
        assert exits(bridge, begin)
        assert bridge.client.switch(True) == "ok on"


def test_plain_on_is_everything_without_end(bridge: Bridge) -> None:
    """Whatever ran before it."""
    with running("chosen-one") as chosen, running("other-one") as other:
        bridge.client.switch(True, vm=[str(chosen.pid)], for_s=600)
        begin = bridge.info().head
        bridge.client.switch(True)
        status = bridge.status()
        assert (status["filter"], status["lease_s"], status["source"]["lease_ms"]) == (
            None,
            None,
            0,
        )
        for guest in (chosen, other):
            until(lambda: is_traced(bridge, begin, guest), "exits of both guests")  # noqa: B023


def test_an_unknown_guest_lists_those_there_are(bridge: Bridge) -> None:
    """And leaves what is traced as it is."""
    with running("chosen-one") as chosen, running("other-one") as other:
        bridge.client.switch(True, vm=["chosen-one"])
        epoch = bridge.status()["source"]["config_epoch"]
        refused = kvmlog("switch", "on", "--vm", "nobody", "--switch", bridge.switch, status=1)
        assert "no running guest has the name, UUID or pid 'nobody'" in refused.stderr
        for name, pid in (("chosen-one", chosen.pid), ("other-one", other.pid)):
            assert f"{name}:{pid} (pid {pid})" in refused.stderr
        with pytest.raises(SwitchError, match="'nobody'"):
            bridge.client.switch(True, vm=["chosen-one", "nobody"])
        status = bridge.status()
        assert status["filter"] == {"vm": ["chosen-one"], "tgids": 1}
        assert status["source"]["config_epoch"] == epoch


def test_kvm_loaded_anew_keeps_filter_and_time(bridge: Bridge, source: str) -> None:
    """The source checks it, or is made anew for it, with what is left."""
    connected = bridge.log().count("connected to the source")
    with running("chosen-one"):
        bridge.client.switch(True, vm=["chosen-one"], for_s=3_000)
    until(lambda: bridge.status()["filter"]["tgids"] == 0, "the guest gone")
    host.run("rmmod", "kvm_amd")
    host.run("modprobe", "kvm_amd")
    if source == sources.BPF:
        until(lambda: bridge.log().count("connected to the source") > connected, bridge.log())
    until(lambda: bridge.status()["state"] == "on", bridge.log())
    begin = bridge.info().head
    with running("other-one"), running("chosen-one") as chosen:
        until(lambda: bool(exits(bridge, begin)), "exits of the chosen guest")
        status = bridge.status()
        assert (status["state"], status["filter"]["tgids"]) == ("on", 1)
        assert 0 < status["source"]["lease_ms"] < 3_000_000
        assert 0 < status["lease_s"] < 3_000
        notes = ring_bytes.notes(bridge.records(begin))
        traced = {note.tgid for note in notes if isinstance(note, GuestRecord)}
        assert traced == {chosen.pid}
