# SPDX-License-Identifier: GPL-2.0-or-later
"""Octaves: their bounds, sums and percentiles."""

from __future__ import annotations

import pytest

from kvmlog.ring.statistics.reader import OCTAVES
from kvmlog.stat import octaves
from tests.support.statistics_rows import octaves_of


@pytest.mark.parametrize("octave", range(OCTAVES - 1))
def test_octaves_lie_beside_each_other(octave: int) -> None:
    """Each ends where the next one begins, and has its first and its last duration."""
    assert octaves.end_ns(octave) == octaves.least_ns(octave + 1)
    assert octaves.octave_of(octaves.least_ns(octave)) == octave
    assert octaves.octave_of(octaves.end_ns(octave) - 1) == octave


def test_the_last_octave_has_no_end() -> None:
    """All that is longer is in it."""
    assert octaves.octave_of(2**64 - 1) == OCTAVES - 1
    assert octaves.bounds(OCTAVES - 1) == "18m20s and more"
    assert octaves.bounds(6) == "1.02us -> 2.05us"
    assert octaves.bounds(0) == "   0ns -> 32ns  "


def test_sums_of_whole_and_shortened_ones() -> None:
    """A reply has them without the zeros at the end."""
    one, other = octaves_of({10: 1, 100: 2}), octaves_of({100: 3, 10**9: 4})
    both = octaves_of({10: 1, 100: 5, 10**9: 4})
    assert octaves.added([one, other]) == both
    assert octaves.added([octaves.shortened(one), octaves.shortened(other)]) == both
    assert octaves.whole(octaves.shortened(both)) == both
    assert octaves.added([]) == octaves.NONE
    assert octaves.shortened(octaves.NONE) == []
    with pytest.raises(ValueError, match="38 octaves"):
        octaves.whole([0] * (OCTAVES + 1))


def test_percentiles_are_the_ends_of_octaves() -> None:
    """The slowest of 100 exits decides p99.9, not p99."""
    counts = octaves_of({40: 99, 5_000: 1})
    assert octaves.percentile_ns(counts, 500) == 63
    assert octaves.percentile_ns(counts, 990) == 63
    assert octaves.percentile_ns(counts, 999) == 8_191
    assert octaves.percentile_ns(octaves.NONE, 500) == 0


def test_used_octaves() -> None:
    """The first to the last that any has something in."""
    assert list(octaves.used([octaves_of({40: 1}), octaves_of({500: 1})])) == [1, 2, 3, 4]
    assert list(octaves.used([octaves.NONE])) == []
