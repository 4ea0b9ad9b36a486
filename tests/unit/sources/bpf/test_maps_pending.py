# SPDX-License-Identifier: GPL-2.0-or-later
"""State of the BPF source's maps at any moment: counters, and exits under way."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest

from kvmlog.native import ffi, lib
from kvmlog.ring.records import RECORD_BYTES, Record
from tests.support import records as make
from tests.support.bpf_maps import CPUS, THREADS, Programs

NO_REENTRY: Final[int] = lib.KVMLOG_F_NO_REENTRY
EINTR: Final[int] = lib.KVMLOG_F_USER_EINTR


@pytest.fixture
def programs() -> Programs:
    """Nothing written yet."""
    return Programs()


def test_every_exit_is_in_one_counter() -> None:
    """The sum over all CPUs, and where each of the programs' numbers goes."""
    programs = Programs(2)
    for cpu, factor in ((programs.cpus[0], 1), (programs.cpus[1], 1000)):
        cpu.head, cpu.notes, cpu.taken = 20 * factor, 3 * factor, 25 * factor
        cpu.dropped_full, cpu.dropped_table = 6 * factor, 4 * factor
        cpu.filtered, cpu.sampled, cpu.lost = 7 * factor, 9 * factor, 10 * factor
    counters = programs.counters()
    assert counters == {
        "seen": 45 * 1001,
        "emitted": 17 * 1001,
        "filtered": 7 * 1001,
        "sampled": 9 * 1001,
        "dropped": 10 * 1001,
        "pending": 2 * 1001,
        "dropped_table": 4 * 1001,
        "notes": 3 * 1001,
    }
    parts = ("emitted", "filtered", "sampled", "dropped", "pending")
    assert counters["seen"] == sum(counters[name] for name in parts)


def test_a_note_that_is_counted_and_not_yet_written_makes_no_exit() -> None:
    """guest.c counts it first: a look in between finds one exit too few, never fewer than none."""
    programs = Programs(1)
    programs.cpus[0].notes = 1
    assert programs.counters()["emitted"] == 0
    programs.cpus[0].taken = 2
    programs.cpus[0].head = 2
    assert (programs.counters()["emitted"], programs.counters()["pending"]) == (1, 1)


def occupy(programs: Programs, index: int, **fields: Any) -> None:
    """A slot with an exit under way, of thread 100 + index."""
    record = ffi.new("struct kvmlog_record *")
    exit_ns, flags = fields.pop("exit_ns", 1), fields.pop("flags", 0)
    user_exits, paused_ns = fields.pop("user_exits", 0), fields.pop("paused_ns", 0)
    own = {"exit_ns": exit_ns, "flags": flags, "user_exits": user_exits, "paused_ns": paused_ns}
    ffi.memmove(record, make.exit_bytes(**own, tid=100 + index), RECORD_BYTES)
    values = {"record": record[0], "tid": 100 + index, "pending": 1, "index": index, **fields}
    for name, value in values.items():
        setattr(programs.slots[index], name, value)
    programs.control.slots_used = max(programs.control.slots_used, index + 1)


def test_pending_exits_carry_their_times_up_to_now(programs: Programs) -> None:
    """Each is a whole record: no re-entry, time in user space only for a thread that was there."""
    exit_ns, user_ns = time.monotonic_ns() - 5_000_000, time.monotonic_ns() - 2_000_000
    flags = lib.KVMLOG_F_USER_REASON
    occupy(programs, 0, exit_ns=exit_ns)
    occupy(programs, 3, exit_ns=exit_ns, user_exits=2, user_since_ns=user_ns, flags=flags)
    before = time.monotonic_ns()
    kernel, user = programs.pending()
    after = time.monotonic_ns()
    assert isinstance(kernel, Record)
    assert isinstance(user, Record)
    assert (kernel.tid, kernel.flags, kernel.user_exits) == (100, NO_REENTRY, 0)
    assert before <= exit_ns + kernel.total_ns <= after
    assert kernel.user_ns == 0
    assert (user.tid, user.flags, user.user_exits) == (103, NO_REENTRY | flags, 2)
    assert before <= exit_ns + user.total_ns <= after
    assert before <= user_ns + user.user_ns <= after
    assert not programs.slots[0].record.flags & NO_REENTRY


def test_who_handles_a_pending_exit_of_a_nested_guest_is_not_known_yet(programs: Programs) -> None:
    """Unless its hypervisor has been given it."""
    nested, l0, l1 = lib.KVMLOG_F_NESTED, lib.KVMLOG_F_NESTED_L0, lib.KVMLOG_F_NESTED_L1
    occupy(programs, 0, exit_ns=1, flags=nested | l0)
    occupy(programs, 1, exit_ns=1, flags=nested | l1)
    told = [record.flags for record in programs.pending()]
    assert told == [nested | NO_REENTRY, nested | l1 | NO_REENTRY]


def test_a_pending_pause_grows_and_one_that_is_over_does_not(programs: Programs) -> None:
    """The pause is the sum of the exit's earlier ones, and of the one under way up to now."""
    user_ns = time.monotonic_ns() - 5_000_000_000
    times = {"exit_ns": user_ns - 1_000, "user_exits": 3, "user_since_ns": user_ns}
    occupy(programs, 0, **times, flags=EINTR, paused_ns=7, paused_since_ns=user_ns + 1_000_000_000)
    occupy(programs, 1, **times, flags=EINTR, paused_ns=7, paused_since_ns=0)
    # A slot may hold what the thread's last exit left.
    occupy(programs, 2, **times, paused_since_ns=user_ns)
    grows, over, never = programs.pending()
    assert isinstance(grows, Record)
    assert isinstance(over, Record)
    assert isinstance(never, Record)
    assert grows.vmm_ns == 1_000_000_000 - 7
    assert (over.paused_ns, never.paused_ns) == (7, 0)


def test_no_pause_is_longer_than_all_time_in_user_space(programs: Programs) -> None:
    """Whatever clocks of two CPUs say."""
    later = time.monotonic_ns() + 3600 * 10**9
    occupy(programs, 0, exit_ns=1, flags=EINTR, user_exits=1, user_since_ns=later, paused_ns=7)
    (record,) = programs.pending()
    assert isinstance(record, Record)
    assert (record.user_ns, record.paused_ns) == (0, 0)


def test_an_exit_that_begins_right_now_has_taken_no_time(programs: Programs) -> None:
    """Its program read the clock after the look did: 0, not the age of the universe."""
    later = time.monotonic_ns() + 3600 * 10**9
    occupy(programs, 0, exit_ns=later, user_exits=1, user_since_ns=later)
    (record,) = programs.pending()
    assert isinstance(record, Record)
    assert (record.total_ns, record.user_ns) == (0, 0)


def test_free_slots_and_those_in_their_guest_are_not_pending(programs: Programs) -> None:
    """Nor those that no thread has ever had."""
    occupy(programs, 0, tid=0)
    occupy(programs, 1, pending=0)
    occupy(programs, 2)
    occupy(programs, 3, tid=0, pending=0)
    occupy(programs, 4)
    programs.control.slots_used = 4
    assert [record.tid for record in programs.pending()] == [102]


def test_threads_that_came_at_once_may_count_past_the_last_slot(programs: Programs) -> None:
    """The count is no index: nothing behind the last slot is read or written."""
    occupy(programs, THREADS - 1)
    programs.control.slots_used = THREADS + 3
    assert [record.tid for record in programs.pending()] == [100 + THREADS - 1]
    lib.kvmlog_bpf_forget(programs.native)
    assert programs.control.slots_used == 0
    assert programs.pending() == []
    assert bytes(ffi.buffer(programs.slots)) == bytes(ffi.sizeof(programs.slots))


def test_forgetting_frees_all_slots(programs: Programs) -> None:
    """Every slot is free as at the start, of a thread that lives or not; no exit is counted."""
    occupy(programs, 0)
    occupy(programs, 1, pending=0)
    occupy(programs, 2, pending=0, vcpu=0x1000, kvm=0x2000, announced=1, exits=5)
    occupy(programs, 3, tid=0)
    before = programs.counters()
    for _ in range(2):
        lib.kvmlog_bpf_forget(programs.native)
        assert programs.control.slots_used == 0
        assert programs.pending() == []
        assert bytes(ffi.buffer(programs.slots)) == bytes(ffi.sizeof(programs.slots))
        assert programs.counters() == before
        assert [cpu.lost for cpu in programs.cpus] == [0] * CPUS
