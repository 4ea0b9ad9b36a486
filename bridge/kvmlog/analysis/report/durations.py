# SPDX-License-Identifier: GPL-2.0-or-later
"""Histograms of handling time: those of the heat map, and fine ones for percentiles over time.

The fine buckets are those of the statistics (docs/statistics.md): each power of two in 32 parts,
the middle of which is within 1.6 % of all in it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kvmlog.analysis.report.columns import Array

_PARTS: Final = 32
_PARTS_BITS: Final = 5
_LAST_EXPONENT: Final = 42  # 73 minutes; what is longer counts as that
FINE_BUCKETS: Final = (_LAST_EXPONENT - _PARTS_BITS + 2) * _PARTS

# Of the heat map: half powers of two, from 128 ns to 34 s.
COARSE_FIRST: Final = 7
COARSE_LAST: Final = 35
COARSE_BUCKETS: Final = (COARSE_LAST - COARSE_FIRST) * 2


def _exponents(ns: Array) -> Array:
    """Return floor(log2) of each; 0 for 0."""
    found: Array = np.frexp(np.maximum(ns, 1).astype("f8"))[1].astype("i8") - 1
    return found


def fine(ns: Array) -> Array:
    """Return the fine bucket of each duration."""
    clipped = np.minimum(ns, np.uint64((1 << (_LAST_EXPONENT + 1)) - 1))
    exponents = _exponents(clipped)
    shift = np.maximum(exponents - _PARTS_BITS, 0)
    parts = (clipped >> shift.astype("u8")).astype("i8") & (_PARTS - 1)
    whole = clipped.astype("i8")
    found: Array = np.where(
        exponents < _PARTS_BITS, whole, (exponents - _PARTS_BITS + 1) * _PARTS + parts
    )
    return found


def middle_ns(bucket: int) -> int:
    """Return the middle of a fine bucket, ns."""
    if bucket < _PARTS:
        return bucket
    shift = bucket // _PARTS - 1
    low = (_PARTS + bucket % _PARTS) << shift
    return low + ((1 << shift) - 1) // 2


def percentile_ns(counts: Array, per_mille: int) -> int:
    """Return the time that so many of 1,000 exits did not exceed; 0 without exits."""
    total = int(counts.sum())
    if not total:
        return 0
    rank = max(1, -(-total * per_mille // 1_000))
    return middle_ns(int(np.searchsorted(np.cumsum(counts), rank)))


def coarse(ns: Array) -> Array:
    """Return the bucket of the heat map of each duration; the first and last take the rest."""
    exponents = _exponents(ns)
    upper = ns.astype("f8") >= np.ldexp(np.sqrt(2.0), exponents)
    found: Array = np.clip((exponents - COARSE_FIRST) * 2 + upper, 0, COARSE_BUCKETS - 1)
    return found


def coarse_from_ns(bucket: int) -> int:
    """Return the shortest duration of a bucket of the heat map, ns."""
    half = bucket % 2
    return round(2 ** (COARSE_FIRST + bucket // 2 + half / 2))
