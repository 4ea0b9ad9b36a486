# SPDX-License-Identifier: GPL-2.0-or-later
"""The source bpf on this machine's own kernel: a real bridge, real programs, a real guest, whose
returns from KVM_RUN are recorded.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import NO_VCPU, Record
from tests.support.bpf_host import needs_returns
from tests.support.bpf_process import (
    Traced,
    check_sum,
    exits_of,
    guest,
    guests,
    interrupted,
    report,
    run_guest,
    user_exits,
)
from tests.support.bridge_process import running_bridge, until


@needs_returns
def test_every_return_of_every_vcpu_is_recorded_once(traced: Traced) -> None:
    """Returns are counted by KVM_EXIT_* as the guest counts them, and alike for each thread."""
    traced.switch.switch(on=True)
    vcpus, turns = 4, 500
    said = run_guest("--turns", str(turns), "--vcpus", str(vcpus), "--kinds", "cpuid,pio,mmio,hlt")
    assert said["user_exits"] == {
        "KVM_EXIT_IO": vcpus * (turns + 1),
        "KVM_EXIT_HLT": vcpus * turns,
        "KVM_EXIT_MMIO": vcpus * turns,
    }
    traced.switch.switch(on=False)
    records = traced.records()
    (note,) = guests(records, said["pid"])
    exits = exits_of(records, note.guest)
    assert user_exits(exits) == said["user_exits"]
    assert interrupted(exits) == said["interrupted"] == 0
    by_thread = Counter(r.tid for r in exits)
    assert list(by_thread.values()) == [3 * turns + 1] * vcpus
    assert {(r.type, r.isa, r.source) for r in exits} == {
        (lib.KVMLOG_RECORD_EXIT, lib.KVMLOG_ISA_NONE, lib.KVMLOG_SOURCE_BPF)
    }
    assert {(r.user_exits, r.user_errno, r.vcpu) for r in exits} == {(1, 0, NO_VCPU)}
    assert {(r.reason, r.total_ns, r.user_ns, r.rip, r.detail) for r in exits} == {(0,) * 5}
    for tid in by_thread:
        times = [r.exit_ns for r in exits if r.tid == tid]
        assert len(set(times)) == len(times)


@needs_returns
def test_the_guest_is_told_once_before_its_first_exit(traced: Traced) -> None:
    """Its process, by number, start and name; first of all that its CPU wrote of it."""
    traced.switch.switch(on=True)
    name = "a guest's name"
    with guest("--name", name, "--vcpus", "3", "--turns", "20", "--hold") as process:
        said = report(process)
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
        assert said["pid"] == process.pid
    traced.switch.switch(on=False)
    records = traced.records()
    (note,) = guests(records, said["pid"])
    assert note.comm == name.encode().ljust(lib.KVMLOG_COMM_BYTES, b"\0")
    assert (note.source, note.vcpu) == (lib.KVMLOG_SOURCE_BPF, NO_VCPU)
    # proc(5): field 22, in clock ticks
    ticks = int(stat.rpartition(")")[2].split()[19])
    assert note.start_boottime_ns * os.sysconf("SC_CLK_TCK") // 10**9 == ticks
    exits = exits_of(records, note.guest)
    assert note.tid in {r.tid for r in exits}
    assert records.index(note) < min(records.index(r) for r in exits if r.cpu == note.cpu)
    assert note.config_epoch == exits[0].config_epoch == traced.status()["source"]["config_epoch"]


@needs_returns
def test_two_guests_have_two_numbers(traced: Traced) -> None:
    """One after the other and at once; each has its own exits."""
    traced.switch.switch(on=True)
    with guest("--turns", "30", "--hold") as first, guest("--turns", "50", "--hold") as second:
        said = [report(first), report(second)]
    said.append(run_guest("--turns", "70"))
    traced.switch.switch(on=False)
    records = traced.records()
    notes = [guests(records, answer["pid"]) for answer in said]
    assert [len(found) for found in notes] == [1, 1, 1]
    assert len({found[0].guest for found in notes}) == 3
    for (note,), answer in zip(notes, said, strict=True):
        assert user_exits(exits_of(records, note.guest)) == answer["user_exits"]


@needs_returns
def test_the_counters_add_up(traced: Traced) -> None:
    """The counters of status and ring agree with the records; a second switch-on continues them."""
    emitted = []
    for _ in range(2):
        traced.switch.switch(on=True)
        run_guest("--turns", "300", "--vcpus", "2", "--kinds", "pio,mmio")
        traced.switch.switch(on=False)
        counters = traced.status()["counters"]
        check_sum(counters)
        records = traced.records()
        assert counters["emitted"] == sum(isinstance(r, Record) for r in records)
        assert counters["notes"] == len(records) - counters["emitted"]
        assert (counters["dropped"], counters["pending"]) == (0, 0)
        with RingReader(traced.bridge.ring) as reader:
            assert reader.info().counters == counters
            assert reader.info().lost_records == 0
        emitted.append(counters["emitted"])
    assert emitted[0] >= 2 * 601
    assert emitted[1] - emitted[0] >= 2 * 601


@needs_returns
def test_off_in_the_middle_of_a_guest_loses_nothing(traced: Traced) -> None:
    """It runs before, during and after; what was seen is there, and nothing comes later."""
    with guest("--turns", "0", "--vcpus", "2", "--kinds", "pio", "--pause-ms", "1") as process:
        traced.switch.switch(on=True)
        until(lambda: bool(guests(traced.records(), process.pid)))
        traced.switch.switch(on=False)
        records = traced.records()
        counters = traced.status()["counters"]
        run_guest("--turns", "50")
        assert traced.records() == records
        assert traced.status()["counters"] == counters
        process.terminate()
        said = report(process)
    check_sum(counters)
    assert (counters["pending"], counters["dropped"]) == (0, 0)
    assert counters["emitted"] == sum(isinstance(r, Record) for r in records)
    (note,) = guests(records, said["pid"])
    exits = exits_of(records, note.guest)
    assert 0 < user_exits(exits)["KVM_EXIT_IO"] < said["user_exits"]["KVM_EXIT_IO"]


@needs_returns
def test_more_vcpus_than_there_is_room_for_are_counted_and_said(tmp_path: Path) -> None:
    """The status names the option; with room for them nothing is dropped."""
    with running_bridge(tmp_path, "--source", "bpf", "--max-vcpus", "16") as bridge:
        few = Traced(bridge)
        few.switch.switch(on=True)
        assert few.status()["source"]["pending_slots"] == 32
        with guest("--turns", "0", "--vcpus", "40", "--kinds", "pio", "--pause-ms", "20"):
            until(lambda: few.status()["counters"]["dropped_table"] > 0)
            notes = few.status()["source"]["notes"]
        few.switch.switch(on=False)
        check_sum(few.status()["counters"])
    assert any("exits had no room" in note and "raise max_vcpus of" in note for note in notes)
    (tmp_path / "other").mkdir()
    with running_bridge(tmp_path / "other", "--source", "bpf") as bridge:
        enough = Traced(bridge)
        enough.switch.switch(on=True)
        run_guest("--turns", "10", "--vcpus", "40", "--kinds", "pio")
        enough.switch.switch(on=False)
        status = enough.status()
        assert (status["source"]["pending_slots"], status["counters"]["dropped"]) == (8192, 0)
        assert not any("max_vcpus" in note for note in status["source"]["notes"])
