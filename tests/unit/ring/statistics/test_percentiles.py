# SPDX-License-Identifier: GPL-2.0-or-later
"""Percentiles, extremes and sums of the statistics, against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kvmlog.ring.statistics.reader import By, Row
from tests.support.statistics_feed import PER_REASON, Counting, exits

Durations = NDArray[np.uint64]
# Prime, so that no percentile falls between two exits, where floats decide.
COUNT = 49_999
ERROR = 1 / 64
END_NS = 2**41
QUANTILES = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99, "p999_ns": 0.999}


def lognormal(seed: int, mean: float = 9.0, sigma: float = 2.0) -> Durations:
    """A realistic distribution: most exits short, some very long."""
    values = np.random.default_rng(seed).lognormal(mean, sigma, COUNT)
    durations: Durations = values.astype(np.uint64)
    return durations


def bimodal() -> Durations:
    """Half near 2 µs, half near 50 ms."""
    random = np.random.default_rng(2)
    short = random.normal(2_000, 150, COUNT // 2).astype(np.uint64)
    return np.concatenate([short, random.normal(5e7, 4e6, COUNT - len(short)).astype(np.uint64)])


DISTRIBUTIONS = {
    "lognormal": lognormal(1),
    "bimodal": bimodal(),
    "small": np.random.default_rng(3).integers(0, 100, COUNT, np.uint64, endpoint=True),
    "powers of two and their neighbours": np.array(
        [2**power + more for power in range(1, 41) for more in (-1, 0, 1)], np.uint64
    ),
    "one value": np.full(COUNT, 123_457, np.uint64),
    "one exit": np.array([77_777], np.uint64),
    "all zero": np.zeros(COUNT, np.uint64),
    "the longest that are told apart": np.full(3, END_NS - 1, np.uint64),
}


def quantile(durations: Durations, share: float) -> int:
    """The smallest that at least this share does not exceed."""
    return int(np.quantile(durations, share, method="inverted_cdf"))


def assert_percentiles(row: Row, durations: Durations) -> None:
    """All four within the promised error."""
    for name, share in QUANTILES.items():
        exact = quantile(durations, share)
        assert abs(getattr(row, name) - exact) <= exact * ERROR, name


def assert_exact(row: Row, durations: Durations) -> None:
    """Check count, sum, minimum and maximum, which are exact."""
    found = (row.count, row.total_ns, row.min_ns, row.max_ns)
    lowest, highest = int(durations.min()), int(durations.max())
    assert found == (len(durations), int(durations.sum()), lowest, highest)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_are_those_of_numpy(tmp_path: Path, name: str) -> None:
    """Each distribution, as one reason of one guest; sums and extremes to the nanosecond."""
    durations = DISTRIBUTIONS[name]
    with Counting(tmp_path) as counting:
        counting.feed(exits(len(durations), total_ns=durations, reason=0x72))
        (row,) = counting.rows()
    assert_exact(row, durations)
    assert_percentiles(row, durations)
    assert not row.rough


def test_durations_beyond_the_histogram_keep_sum_and_extremes(tmp_path: Path) -> None:
    """36 minutes and more: percentiles stay between the shortest and the longest."""
    durations = np.array([END_NS, END_NS + 5, 3 * END_NS, 2**50], np.uint64)
    with Counting(tmp_path) as counting:
        counting.feed(exits(4, total_ns=durations))
        (alone,) = counting.rows()
        counting.feed(exits(2, total_ns=[0, 1_000]))
        (mixed,) = counting.rows()
    assert_exact(alone, durations)
    assert (alone.p50_ns, alone.p999_ns) == (END_NS, END_NS)
    assert_exact(mixed, np.concatenate([durations, np.array([0, 1_000], np.uint64)]))
    assert mixed.p50_ns >= END_NS * (1 - ERROR)


def groups(durations: Durations, seed: int) -> dict[str, Any]:
    """Spread over guests, reasons and vCPUs."""
    random = np.random.default_rng(seed)
    return {
        "total_ns": durations,
        "guest": random.integers(1, 6, len(durations)),
        "reason": random.choice([0x60, 0x72, 0x7B, 0x7C], len(durations)),
        "vcpu": random.integers(0, 3, len(durations)),
    }


@pytest.mark.parametrize(
    ("by", "field"), [(By.GUEST, "guest"), (By.REASON, "reason"), (PER_REASON, None)]
)
def test_merged_percentiles_are_those_of_all_together(
    tmp_path: Path, by: By, field: str | None
) -> None:
    """Groups of guests, reasons, both and neither have the percentiles of their exits."""
    durations = lognormal(4)
    records = exits(COUNT, **groups(durations, 5))
    with Counting(tmp_path) as counting:
        counting.feed(records)
        snapshot = counting.snapshot()
        rows, (whole,) = snapshot.rows(by), snapshot.rows(By(0))
    assert_exact(whole, durations)
    assert_percentiles(whole, durations)
    for row in rows:
        number = snapshot.guests[row.guest].number
        asked = {"guest": records["guest"] == number, "reason": records["reason"] == row.reason}
        chosen = asked[field] if field else asked["guest"] & asked["reason"]
        assert_exact(row, durations[chosen])
        assert_percentiles(row, durations[chosen])
    assert sum(row.count for row in rows) == COUNT


def test_an_interval_is_measured_from_its_own_exits_only(tmp_path: Path) -> None:
    """Percentiles of an interval of fast exits know nothing of the slow ones before it."""
    early, late = lognormal(6, 14), lognormal(7, 8, 1)
    with Counting(tmp_path) as counting:
        counting.feed(exits(COUNT, **groups(early, 8)))
        base = counting.snapshot()
        counting.feed(exits(COUNT, **groups(late, 9)))
        now = counting.snapshot()
        (row,) = now.rows(By(0), base)
        apart = now.rows(PER_REASON, base)
    assert (row.count, row.total_ns) == (COUNT, int(late.sum()))
    assert_percentiles(row, late)
    for found, exact in ((row.min_ns, late.min()), (row.max_ns, late.max())):
        assert abs(found - int(exact)) <= int(exact) * ERROR
    assert sum(one.count for one in apart) == COUNT
    assert sum(one.total_ns for one in apart) == row.total_ns


def test_an_interval_in_which_nothing_came_has_no_rows(tmp_path: Path) -> None:
    """There are no rows, whatever they are grouped by."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(100, total_ns=5))
        base, now = counting.snapshot(), counting.snapshot()
    assert [now.rows(by, base) for by in (By.REASON, By.VCPU, By.DETAIL, By.RETURN)] == [[]] * 4


def test_an_interval_of_returns_does_not_tell_the_extremes_of_all_time(tmp_path: Path) -> None:
    """Rows of returns have no histogram: of a part of the time theirs are not known."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(1, total_ns=1), exits(1, total_ns=10**9))
        base = counting.snapshot()
        counting.feed(exits(1, total_ns=500))
        now = counting.snapshot()
        (all_time,), (row,) = now.rows(By.RETURN), now.rows(By.RETURN, base)
    assert (all_time.min_ns, all_time.max_ns) == (1, 10**9)
    assert (row.count, row.total_ns, row.min_ns, row.max_ns) == (1, 500, 0, 0)


def upper_edge(ns: int) -> int:
    """The longest of the power of two that `ns` is in; those below 32 are one."""
    return int(max(31, 2 ** int(ns).bit_length() - 1))


@pytest.mark.parametrize("by", [By.VCPU, By.DETAIL])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_rough_percentiles_are_upper_edges_of_powers_of_two(
    tmp_path: Path, name: str, by: By
) -> None:
    """Percentiles of vCPUs and details are rough, but never beyond the longest exit."""
    durations = DISTRIBUTIONS[name]
    with Counting(tmp_path) as counting:
        counting.feed(exits(len(durations), total_ns=durations))
        (row,) = counting.rows(by)
    assert_exact(row, durations)
    assert row.rough
    found = {percentile: getattr(row, percentile) for percentile in QUANTILES}
    assert found == {
        percentile: min(upper_edge(quantile(durations, share)), row.max_ns)
        for percentile, share in QUANTILES.items()
    }
