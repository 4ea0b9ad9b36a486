# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmlog.analysis.report.durations: buckets that hold what they say."""

from __future__ import annotations

import numpy as np
import pytest

from kvmlog.analysis.report import durations

EDGES = [0, 1, 31, 32, 33, 63, 64, 1_000, 1_023, 1_024, 4_095, 10**6, 2**40 + 12_345, 2**42]


def test_the_middle_of_a_fine_bucket_is_near_all_in_it() -> None:
    """Within 1.6 %, as docs/statistics.md has it."""
    random = np.random.default_rng(1)
    times = np.unique(np.concatenate([EDGES, random.integers(0, 2**42, 5_000)])).astype("u8")
    buckets = durations.fine(times)
    assert (np.diff(buckets) >= 0).all()
    for ns, bucket in zip(times.tolist(), buckets.tolist(), strict=True):
        assert abs(durations.middle_ns(bucket) - ns) <= ns / 64 + 0.5


def test_what_is_longer_than_all_buckets_counts_as_the_longest() -> None:
    """2^64 - 1 ns in a damaged file is no error."""
    assert durations.fine(np.array([2**64 - 1], dtype="u8"))[0] == durations.FINE_BUCKETS - 1


def test_percentiles_are_those_of_the_exits() -> None:
    """The time that so many of 1,000 did not exceed."""
    times = np.arange(1, 1_001, dtype="u8") * np.uint64(1_000)
    counts = np.bincount(durations.fine(times), minlength=durations.FINE_BUCKETS)
    for per_mille in (1, 500, 900, 990, 999, 1_000):
        assert durations.percentile_ns(counts, per_mille) == pytest.approx(
            per_mille * 1_000, rel=1 / 64
        )
    assert durations.percentile_ns(np.zeros(durations.FINE_BUCKETS, dtype="i8"), 500) == 0


def test_the_heat_map_has_half_powers_of_two() -> None:
    """Each duration is in the bucket whose bounds are around it; the ends take the rest."""
    last = durations.COARSE_BUCKETS - 1
    for bucket in range(1, last):
        low, high = durations.coarse_from_ns(bucket), durations.coarse_from_ns(bucket + 1)
        found = durations.coarse(np.array([low + 1, (low + high) // 2, high - 1], dtype="u8"))
        assert found.tolist() == [bucket] * 3
    assert durations.coarse(np.array([0, 2**63], dtype="u8")).tolist() == [0, last]
