# SPDX-License-Identifier: GPL-2.0-or-later
"""Distributions of durations: each group's exits by octave, of all time and of an interval."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlog.ring.statistics.reader import By, Snapshot
from kvmlog.stat import octaves
from kvmlog.util.errors import StatisticsError
from tests.support.statistics_feed import ALL_BY, Counting, exits

DURATIONS = [0, 31, 32, 63, 64, 1_000, 1_024, 5_000_000_000, 2**63]


def by_octave(snapshot: Snapshot, by: By, base: Snapshot | None = None) -> dict[int, int]:
    """Octave -> exits, of all groups together."""
    found = octaves.added(counts for _, counts in snapshot.distributions(by, base))
    return {octave: count for octave, count in enumerate(found) if count}


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    """Exits of each of DURATIONS, in two guests, with details and vCPUs."""
    made = Counting(tmp_path)
    for guest in (1, 2):
        made.feed(
            exits(len(DURATIONS), guest=guest, vcpu=[0, 1, 2] * 3, reason=0x7B, total_ns=DURATIONS)
        )
    return made


@pytest.mark.parametrize("by", [one for one in ALL_BY if By.RETURN not in one])
def test_each_exit_is_in_the_octave_of_its_duration(counting: Counting, by: By) -> None:
    """However they are grouped: rows that know octaves only say the same as histograms."""
    with counting:
        snapshot = counting.snapshot()
        expected: dict[int, int] = {}
        for ns in DURATIONS:
            octave = octaves.octave_of(ns)
            expected[octave] = expected.get(octave, 0) + 2
        assert by_octave(snapshot, by) == expected
        groups = snapshot.distributions(by)
        assert [row for row, _ in groups] == snapshot.rows(by)
        assert [row.count for row, _ in groups] == [sum(counts) for _, counts in groups]


def test_an_interval_has_its_own_exits(counting: Counting) -> None:
    """What an earlier copy has is taken away."""
    with counting:
        before = counting.snapshot()
        counting.feed(exits(3, guest=1, reason=0x7B, total_ns=[40, 41, 70]))
        after = counting.snapshot()
        for by in (By.GUEST, By.GUEST | By.VCPU):
            assert by_octave(after, by, before) == {1: 2, 2: 1}


def test_none_is_kept_by_return(counting: Counting) -> None:
    """It is refused, not shown as empty."""
    with counting, pytest.raises(StatisticsError, match=r"no distribution .* by return; group by"):
        counting.snapshot().distributions(By.GUEST | By.RETURN)
