# SPDX-License-Identifier: GPL-2.0-or-later
"""Reasons with more details than have rows: which keep theirs, and where the others' exits are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from kvmlog.native import ffi, lib
from kvmlog.ring.statistics.reader import DETAIL_EXACT, DETAIL_OTHER, By, Row, Snapshot
from tests.support.statistics_corruption import STRUCT, element, number_at, offset, patch
from tests.support.statistics_feed import PARTS, Counting, Records, add_up, exits, note

VALID = lib.KVMLOG_F_DETAIL_VALID
CPUID, IO, MSR = 0x72, 0x7B, 0x7C
KEYS = lib.KVMLOG_STATISTICS_DETAILS
KEPT = KEYS * 3 // 4
BY_DETAIL = By.GUEST | By.REASON | By.DETAIL


def ports(details: Iterable[int], total_ns: int = 10, **fields: int) -> Records:
    """One exit of each detail, in this order."""
    numbers = list(details)
    return exits(len(numbers), reason=IO, flags=VALID, detail=numbers, total_ns=total_ns, **fields)


def told(rows: list[Row]) -> dict[int, int]:
    """Return the counts of the details that have rows."""
    return {row.detail: row.count for row in rows if row.detail_kind == DETAIL_EXACT}


def rest(rows: list[Row]) -> int:
    """Return the count of all others."""
    return sum(row.count for row in rows if row.detail_kind == DETAIL_OTHER)


def assert_exact(snapshot: Snapshot, base: Snapshot | None = None) -> None:
    """Details and the rest have all that the reason has, and parts have all of their times."""
    for field in ("count", "total_ns", *PARTS):
        by_reason = add_up(snapshot.rows(By.GUEST | By.REASON, base), field)
        assert add_up(snapshot.rows(BY_DETAIL, base), field) == by_reason, field
    for row in snapshot.rows(BY_DETAIL, base):
        assert sum(getattr(row, part) for part in PARTS) == row.total_ns
        assert row.min_ns <= row.p50_ns <= row.p999_ns <= row.max_ns


def test_what_comes_after_a_scan_has_rows_of_its_own(tmp_path: Path) -> None:
    """A BIOS that looks for a hypervisor at 256 leaves does not take the others' places."""
    scan = 0x40000000 + 0x100 * np.arange(256) + (np.arange(256) << 40)
    later = [0, 1, 7, 0xB, 0x1_0000000B, 0x80000008]
    with Counting(tmp_path) as counting:
        counting.feed(exits(len(scan), reason=CPUID, flags=VALID, detail=scan))
        for _ in range(5):
            counting.feed(exits(len(later), reason=CPUID, flags=VALID, detail=later))
        rows = counting.rows(BY_DETAIL)
    assert {number: told(rows)[number] for number in later} == dict.fromkeys(later, 5)
    assert rest(rows) == 0


def test_ports_after_a_scan_of_ports_have_rows_of_their_own(tmp_path: Path) -> None:
    """Nor does a scan of what cannot be told to be one: those that took the least time go."""
    with Counting(tmp_path) as counting:
        counting.feed(ports(range(0x1000, 0x1000 + 4 * KEYS)))
        for _ in range(7):
            counting.feed(ports([0x3F8, 0x70], total_ns=1_000))
        counting.feed(ports(range(0x8000, 0x8000 + 4 * KEYS)))
        snapshot = counting.snapshot()
    rows = snapshot.rows(BY_DETAIL)
    assert KEPT <= len(told(rows)) <= KEYS
    assert told(rows)[0x70] == 7
    assert told(rows)[0x3F8] == 7
    assert rest(rows) == 8 * KEYS + 14 - sum(told(rows).values())
    assert_exact(snapshot)


def test_all_have_rows_as_long_as_there_are_places(tmp_path: Path) -> None:
    """256 keys are told apart, each reason and guest has its own; none goes for exits without."""
    with Counting(tmp_path) as counting:
        for _ in range(3):
            counting.feed(ports(range(KEYS)), exits(1, reason=IO), ports(range(KEYS), guest=2))
            counting.feed(exits(KEYS, reason=MSR, flags=VALID, detail=np.arange(KEYS)))
            counting.writer.flush()
        rows = counting.rows(BY_DETAIL)
    assert len(rows) == 3 * KEYS + 1
    assert {row.count for row in rows} == {3}
    assert rest(rows) == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_detail_with_its_share_of_the_time_has_a_row(tmp_path: Path, seed: int) -> None:
    """One that took more than 1/192 of its reason's time, wherever it came; none lacks more."""
    random = np.random.default_rng(seed)
    count = 30_000
    # Few that come often, or take long, hidden among many.
    detail = np.where(
        random.random(count) < 0.3, random.integers(0, 20, count), random.integers(0, 5_000, count)
    )
    records = exits(count, reason=IO, flags=VALID, detail=detail)
    records["total_ns"] = random.lognormal(7, 2, count).astype(np.uint64)
    with Counting(tmp_path) as counting:
        for part in np.array_split(records, 50):
            counting.feed(part)
            counting.writer.flush()
        snapshot = counting.snapshot()
    real = np.bincount(detail, records["total_ns"], 5_000)
    shown = {row.detail: row.total_ns for row in snapshot.rows(BY_DETAIL) if row.detail_kind == 1}
    bound = int(records["total_ns"].sum()) // KEPT
    assert set(np.flatnonzero(real > bound)) <= shown.keys()
    assert all(0 <= real[one] - ns <= bound for one, ns in shown.items())
    assert_exact(snapshot)


def test_an_interval_has_exactly_what_came_in_it(tmp_path: Path) -> None:
    """Rows stay, come, go, and come again in other places or the same."""
    with Counting(tmp_path) as counting:
        counting.feed(ports(range(KEYS), total_ns=20), ports([5] * 9, total_ns=10**6))
        base = counting.snapshot()
        counting.feed(ports(range(1_000, 1_000 + KEYS)))
        counting.feed(ports(range(KEYS)), ports([5] * 3), ports([77] * 4, total_ns=10**5))
        now = counting.snapshot()
    rows = now.rows(BY_DETAIL, base)
    assert told(rows)[5] == 4
    assert told(rows)[77] == 5
    assert max(told(rows).values()) <= 5
    assert add_up(rows, "count") == 2 * KEYS + 7
    assert_exact(now, base)


def test_the_ranking_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What a new row has to beat is in the file."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), ports([0x3F8] * 5, total_ns=10**6))
        counting.feed(ports(range(2_000, 2_000 + 3 * KEYS)))
        before = counting.snapshot()
    with Counting(tmp_path) as counting:
        assert counting.writer.continued
        assert counting.snapshot().rows(BY_DETAIL) == before.rows(BY_DETAIL)
        counting.writer.begin(fresh=True)
        counting.feed(note(1, 100), ports(range(5_000, 5_000 + 3 * KEYS)))
        after = counting.snapshot()
    assert told(after.rows(BY_DETAIL))[0x3F8] == 5
    assert len(told(after.rows(BY_DETAIL))) <= KEYS
    assert_exact(after)


def test_guests_that_turn_out_to_be_one_keep_what_is_exact(tmp_path: Path) -> None:
    """More details than there are places, from both: they stay exact, and go when others come."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), ports(range(2 * KEYS), guest=1))
        counting.writer.begin(fresh=True)
        counting.feed(ports(range(10_000, 10_000 + 2 * KEYS), guest=7), note(7, 100))
        both = counting.snapshot()
        assert_exact(both)
        counting.feed(ports(range(KEYS), guest=7))
        after = counting.snapshot()
    assert [guest.tgid for guest in after.guests.values()] == [100]
    assert KEPT <= len(told(after.rows(BY_DETAIL))) <= KEYS
    assert_exact(after)


def test_rows_that_went_are_free_for_others(tmp_path: Path) -> None:
    """However many come and go, there are as many rows as the limit says, all in the index."""
    with Counting(tmp_path) as counting:
        for start in range(0, 40 * KEYS, KEYS):
            counting.feed(ports(range(start, start + KEYS)), ports([7], total_ns=10**6))
        header, snapshot = counting.writer.header(), counting.snapshot()
        assert header.rows_used <= KEYS + 2
        assert header.rows_capacity - header.rows_free <= KEYS + 2
        assert (snapshot.overflow, snapshot.overflow_rows) == (0, 0)
        assert told(snapshot.rows(BY_DETAIL))[7] == 41
        counting.feed(ports(list(told(snapshot.rows(BY_DETAIL)))))
        again = counting.snapshot()
    assert told(again.rows(BY_DETAIL)) == {
        number: count + 1 for number, count in told(snapshot.rows(BY_DETAIL)).items()
    }
    assert_exact(again, snapshot)


def test_a_file_that_claims_to_hold_the_rest_is_not_believed(tmp_path: Path) -> None:
    """A row that somebody made one of no detail is left out: its exits are in the rest."""
    others = 700
    with Counting(tmp_path) as counting:
        counting.feed(exits(others, reason=MSR, vcpu=np.arange(others)), ports([7] * 3))
        row = element(counting.path, "row")
        size, at = ffi.sizeof(f"{STRUCT}_row"), offset("key.detail_kind", f"{STRUCT}_row")
        counting.snapshot()  # all that was fed is in the file
        used = counting.writer.header().rows_used
        for number in range(used):
            if number_at(counting.path, row + number * size + at, 1) == DETAIL_EXACT:
                patch(counting.path, row + number * size + at, DETAIL_OTHER, 1)
                assert number > counting.writer.header().reasons_capacity
        rows = [one for one in counting.reader.snapshot().rows(BY_DETAIL) if one.reason == IO]
    assert [(one.detail_kind, one.count) for one in rows] == [(DETAIL_OTHER, 3)]
