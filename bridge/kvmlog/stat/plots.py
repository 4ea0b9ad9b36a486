# SPDX-License-Identifier: GPL-2.0-or-later
"""Distributions as text: histograms, and rows of a heat map, a cell for each octave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from kvmlog.ring.statistics.reader import OCTAVES
from kvmlog.stat import octaves

STARS: Final = 40
# By the number of decimal digits of a count.
HEAT: Final = " .:+*#@"
HEAT_LEGEND: Final = "exits: . 1 and more, : 10, + 100, * 1,000, # 10,000, @ 100,000 and more"
# Where the octaves begin that have these marks above them.
_MARKS: Final = {1: "32ns", 6: "1us", 11: "33us", 16: "1ms", 21: "34ms", 26: "1s", 31: "34s"}
_BOUNDS: Final = len(octaves.bounds(1))


def histogram(counts: Sequence[int], stars: int = STARS, star: str = "*") -> Iterator[str]:
    """Yield a line for each octave from the first to the last with exits: bounds, count, bar.

    stars: cells of the bar of the fullest octave. An octave that has an exit has a star.
    """
    shown = octaves.used([counts])
    most = max(counts, default=0)
    digits = max(len("exits"), len(f"{most:,}"))
    if shown:
        yield f"  {'':<{_BOUNDS}}  {'exits':>{digits}}"
    for octave in shown:
        count = counts[octave]
        bar = star * (max(1, count * stars // most) if count else 0)
        begin = f"  {octaves.bounds(octave):<{_BOUNDS}}  {count:>{digits},}"
        yield f"{begin} |{bar:<{stars}}|"


def heat(counts: Sequence[int], cells: range | None = None, shades: str = HEAT) -> str:
    """Return a character for each octave (default: all of them), darker by the power of ten."""
    return "".join(shades[magnitude(counts[at])] for at in cells or range(OCTAVES))


def magnitude(count: int) -> int:
    """Return how many decimal digits a count has, as index into HEAT; 0 for none."""
    return min(len(str(count)), len(HEAT) - 1) if count > 0 else 0


def axis(cells: range | None = None) -> str:
    """Return marks for these octaves (default: all of them): where each begins."""
    line = ""
    cells = cells or range(OCTAVES)
    for at, octave in enumerate(cells):
        mark = _MARKS.get(octave, "")
        # One that the last would touch, or that would stand out, is left out.
        if mark and (not line or len(line) < at) and at + len(mark) <= len(cells):
            line = f"{line:<{at}}{mark}"
    return f"{line:<{len(cells)}}"
