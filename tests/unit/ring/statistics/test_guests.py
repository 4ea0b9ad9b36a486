# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest that an exit is counted for: numbers begin again and change, guests stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvmlog.native import lib
from kvmlog.ring.statistics.reader import By
from tests.support.statistics_feed import (
    ALL_BY,
    PER_REASON,
    Counting,
    Records,
    add_up,
    counted,
    exits,
    note,
)

FOREIGN = lib.KVMLOG_SOURCE_FOREIGN
IO, NPF = 0x7B, 0x400


def told(counting: Counting) -> list[tuple[int, int, int]]:
    """Return process, last number and exits of each guest, checked against its rows."""
    snapshot = counting.snapshot()
    sums = dict.fromkeys(snapshot.guests, 0)
    for row in snapshot.rows(By.GUEST):
        sums[row.guest] += row.count
    assert sums == {key: guest.exits for key, guest in snapshot.guests.items()}
    assert snapshot.exits == counted(snapshot)
    return sorted((guest.tgid, guest.number, guest.exits) for guest in snapshot.guests.values())


def test_a_guest_is_its_process_with_all_that_was_announced(tmp_path: Path) -> None:
    """Fields of the announcement, the first and the last moment, and its exits."""
    with Counting(tmp_path) as counting:
        counting.feed(note(7, 4_242, ns=1_000, cgroup=99), exits(5, guest=7, exit_ns=2_000))
        (guest,) = counting.snapshot().guests.values()
    assert (guest.number, guest.tgid, guest.start_boottime_ns) == (7, 4_242, 4_242 * 10**9)
    assert (guest.comm, guest.cgroup, guest.isa) == ("qemu", 99, lib.KVMLOG_ISA_SVM)
    assert (guest.first_ns, guest.last_ns, guest.exits) == (1_000, 2_000, 5)


@pytest.mark.parametrize("written", [False, True], ids=["in the cache", "in the file"])
def test_exits_before_the_announcement_become_the_guests_own(tmp_path: Path, written: bool) -> None:
    """Those of other CPUs come first: a guest without a process, then the right one."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(3, guest=1))
        if written:
            assert told(counting) == [(0, 1, 3)]
        counting.feed(note(1, 100), exits(2, guest=1))
        assert told(counting) == [(100, 1, 5)]


def test_off_and_on_a_process_with_one_vm_has_the_same_guest(tmp_path: Path) -> None:
    """It gets a new number, and goes on; late exits under the old number are its own, too."""
    with Counting(tmp_path) as counting:
        for number in range(1, 6):
            counting.writer.begin(fresh=False)
            counting.feed(note(number, 100), exits(10, guest=number))
        counting.feed(exits(1, guest=4), exits(1, guest=1))
        assert told(counting) == [(100, 5, 52)]


def spread(count: int, guest: int, seed: int) -> Records:
    """Exits of every kind of row, of durations of many octaves."""
    random = np.random.default_rng(seed)
    return exits(
        count,
        guest=guest,
        vcpu=random.integers(0, 4, count),
        reason=random.choice([IO, NPF, 0x78], count),
        flags=lib.KVMLOG_F_DETAIL_VALID | lib.KVMLOG_F_USER_REASON,
        user_reason=random.integers(0, 4, count),
        detail=random.integers(0, 300, count),
        total_ns=random.lognormal(9, 3, count).astype(np.uint64),
    )


def test_exits_before_the_announcement_after_off_and_on_are_moved_to_the_right_guest(
    tmp_path: Path,
) -> None:
    """Rows of both are added up: counts, times and percentiles as if they had been one always."""
    early, late = spread(4_000, 1, 1), spread(3_000, 2, 2)
    with Counting(tmp_path, mib=4) as counting:
        counting.feed(note(1, 100), early)
        counting.writer.begin(fresh=False)
        counting.feed(late)
        assert told(counting) == [(0, 2, 3_000), (100, 1, 4_000)]
        counting.feed(note(2, 100))
        assert told(counting) == [(100, 2, 7_000)]
        moved = counting.snapshot()
    (tmp_path / "other").mkdir()
    with Counting(tmp_path / "other", mib=4) as counting:
        late["guest"] = 1
        counting.feed(note(1, 100), early, late)
        once = counting.snapshot()
    assert sorted(moved.rows(PER_REASON)) == sorted(once.rows(PER_REASON))
    assert sorted(moved.rows(By.VCPU)) == sorted(once.rows(By.VCPU))
    assert sorted(moved.rows(By.RETURN)) == sorted(once.rows(By.RETURN))
    assert {add_up(moved.rows(by), "total_ns") for by in ALL_BY} == {
        add_up(once.rows(by), "total_ns") for by in ALL_BY
    }


def test_two_vms_of_one_process_are_new_guests_after_off_and_on(tmp_path: Path) -> None:
    """They cannot be told apart, so neither is continued."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), note(2, 100), exits(1, guest=1), exits(2, guest=2))
        counting.writer.begin(fresh=False)
        counting.feed(note(3, 100), note(4, 100), exits(4, guest=3), exits(8, guest=4))
        assert told(counting) == [(100, 1, 1), (100, 2, 2), (100, 3, 4), (100, 4, 8)]


def test_a_second_vm_of_a_process_is_another_guest(tmp_path: Path) -> None:
    """The first goes on after off and on; the second has come since."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(1, guest=1))
        counting.writer.begin(fresh=False)
        counting.feed(note(2, 100), note(3, 100), exits(2, guest=2), exits(4, guest=3))
        assert told(counting) == [(100, 2, 3), (100, 3, 4)]


def test_a_guest_that_is_announced_again_with_its_number_is_there(tmp_path: Path) -> None:
    """A further VM of its process does not continue it."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(1, guest=1))
        counting.writer.begin(fresh=False)
        counting.feed(note(1, 100), note(2, 100), exits(2, guest=1), exits(4, guest=2))
        assert told(counting) == [(100, 1, 3), (100, 2, 4)]


@pytest.mark.parametrize("announced", [True, False], ids=["announced first", "exits first"])
def test_a_source_that_was_loaded_again_has_the_numbers_of_others(
    tmp_path: Path, announced: bool
) -> None:
    """Number 1 is another process now; the old one, as number 2, goes on."""
    news = [note(1, 200), note(2, 100)]
    came = [exits(10, guest=1), exits(20, guest=2)]
    with Counting(tmp_path) as counting:
        counting.writer.begin(fresh=True)
        counting.feed(note(1, 100), exits(1, guest=1), note(2, 200), exits(2, guest=2))
        counting.writer.begin(fresh=True)
        counting.feed(*(news + came if announced else came + news))
        assert told(counting) == [(100, 2, 21), (200, 1, 12)]


def test_a_number_that_is_given_to_another_process_is_that_ones_from_then_on(
    tmp_path: Path,
) -> None:
    """Numbers that begin again unannounced do not reuse the cached guests."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(3, guest=1), note(1, 200), exits(4, guest=1))
        assert told(counting) == [(100, 1, 3), (200, 1, 4)]


def test_a_reused_pid_is_another_guest(tmp_path: Path) -> None:
    """The same pid with another start; and a process without its start is never known again."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(1, guest=1))
        counting.writer.begin(fresh=False)
        counting.feed(note(2, 100, start_boottime_ns=5), exits(2, guest=2))
        for number in (3, 4):
            counting.writer.begin(fresh=False)
            counting.feed(note(number, 300, start_boottime_ns=0), exits(4, guest=number))
        assert told(counting) == [(100, 1, 1), (100, 2, 2), (300, 3, 4), (300, 4, 4)]


def test_each_source_has_numbers_of_its_own(tmp_path: Path) -> None:
    """A foreign module's number 1 is not kvmlog's."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(1, guest=1), exits(2, guest=1, source=FOREIGN))
        assert told(counting) == [(0, 1, 2), (100, 1, 1)]
        counting.feed(note(1, 200, source=FOREIGN), exits(4, guest=1, source=FOREIGN))
        assert told(counting) == [(100, 1, 1), (200, 1, 6)]


def test_guests_go_on_after_the_bridge_was_started_again(tmp_path: Path) -> None:
    """Their numbers are new: it has closed the source."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(1, guest=1), note(2, 200), exits(2, guest=2))
    with Counting(tmp_path) as counting:
        counting.writer.begin(fresh=True)
        counting.writer.begin(fresh=False)
        counting.feed(exits(4, guest=1), note(1, 200), note(2, 100), exits(8, guest=2))
        assert told(counting) == [(100, 2, 9), (200, 1, 6)]


def test_a_reset_keeps_the_guests_that_are_traced(tmp_path: Path) -> None:
    """All counts are nothing then; guests that were not seen since switching on are gone."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(1, guest=1), note(2, 200), exits(2, guest=2))
        counting.writer.begin(fresh=False)
        counting.feed(note(3, 100), exits(4, guest=3))
        before = counting.snapshot()
        counting.writer.reset()
        assert told(counting) == [(100, 3, 0)]
        counting.feed(exits(8, guest=3), exits(16, guest=2))
        assert told(counting) == [(0, 2, 16), (100, 3, 8)]
        after = counting.snapshot()
    assert after.statistics_id == before.statistics_id
    assert (after.exits, after.forgotten, after.since_ns > before.since_ns) == (24, 0, True)
    assert add_up(after.rows(By(0), before), "count") == 24  # all is new: nothing goes on


def test_a_guest_in_the_place_of_a_forgotten_one_has_no_past(tmp_path: Path) -> None:
    """An interval over the change counts all of the new one's exits, and none twice."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(50, guest=1, total_ns=7))
        base = counting.snapshot()
        (place,) = base.guests
        counting.forget(place)
        assert told(counting) == []
        counting.feed(note(2, 200), exits(3, guest=2, total_ns=7))
        now = counting.snapshot()
        rows = [now.rows(by, base) for by in (PER_REASON, By.GUEST | By.VCPU, By.RETURN)]
    assert list(now.guests) == [place]
    assert [[(row.guest, row.count, row.total_ns) for row in one] for one in rows] == [
        [(place, 3, 21)]
    ] * 3
    assert (now.exits, now.forgotten) == (53, 50)


def test_late_exits_of_a_forgotten_guest_are_not_its_successors(tmp_path: Path) -> None:
    """Its number leads to nobody any more, whoever has its place in the table."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(1, guest=1))
        counting.forget(0)
        counting.feed(note(2, 200), exits(2, guest=2), exits(4, guest=1))
        assert told(counting) == [(0, 1, 4), (200, 2, 2)]
        assert counting.snapshot().forgotten == 1
