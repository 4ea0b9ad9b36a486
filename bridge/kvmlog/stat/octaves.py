# SPDX-License-Identifier: GPL-2.0-or-later
"""Distributions of durations by octave: bounds, sums, and what can be told of percentiles.

Octave 0 has durations below 32 ns, octave k those from 2^(k+4) ns to below twice that, and the last
one all that are longer (include/uapi/kvmlog/statistics.h).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kvmlog.native import lib
from kvmlog.ring.statistics.reader import OCTAVES
from kvmlog.util import units

_STEPS: Final[int] = lib.KVMLOG_HISTOGRAM_STEPS
NONE: Final[tuple[int, ...]] = (0,) * OCTAVES


def octave_of(ns: int) -> int:
    """Return the octave that a duration falls in."""
    return min((ns // _STEPS).bit_length(), OCTAVES - 1)


def least_ns(octave: int) -> int:
    """Return the shortest duration of an octave."""
    return _STEPS << (octave - 1) if octave else 0


def end_ns(octave: int) -> int:
    """Return the duration at which the next octave begins."""
    return _STEPS << octave


def bounds(octave: int) -> str:
    """Return "1.02us -> 2.05us", aligned; the last octave has no end."""
    begin = units.duration(least_ns(octave))
    if octave == OCTAVES - 1:
        return f"{begin:>6} and more"
    return f"{begin:>6} -> {units.duration(end_ns(octave)):<6}"


def added(distributions: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Return the sum of distributions, each whole or as shortened() has it; NONE of none."""
    given = [one for one in distributions if one]
    if len(given) == 1 and len(given[0]) == OCTAVES:
        return tuple(given[0])
    counts = [0] * OCTAVES
    for one in given:
        for octave, count in enumerate(one):
            if count:
                counts[octave] += count
    return tuple(counts)


def shortened(counts: Sequence[int]) -> list[int]:
    """Return the counts up to the last one that is not 0."""
    last = max((octave for octave, count in enumerate(counts) if count), default=-1)
    return list(counts[: last + 1])


def whole(counts: Sequence[int]) -> tuple[int, ...]:
    """Return what shortened() was made of; ValueError for more octaves than there are."""
    if len(counts) > OCTAVES:
        raise ValueError(f"{len(counts)} octaves")
    return (*counts, *NONE[len(counts) :])


def used(distributions: Iterable[Sequence[int]]) -> range:
    """Return the octaves from the first to the last that any of them has something in."""
    found = [octave for counts in distributions for octave, count in enumerate(counts) if count]
    return range(min(found), max(found) + 1) if found else range(0)


def percentile_ns(counts: Sequence[int], permille: int) -> int:
    """Return the end of the octave in which so many thousandths of the exits end; 0 of none."""
    every, below = sum(counts), 0
    for octave, count in enumerate(counts):
        below += count
        if count and below * 1_000 >= every * permille:
            return end_ns(octave) - 1
    return 0
