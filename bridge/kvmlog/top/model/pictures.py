# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures as lines of styled text: sparkline, who spent the time, histogram, heat map.

A style is a word, which the screen has a colour for; nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from kvmlog.stat import figures, octaves, plots
from kvmlog.top.model.columns import PARTIES
from kvmlog.top.model.groups import Group
from kvmlog.top.model.history import Moment
from kvmlog.util import units

Piece: TypeAlias = tuple[str, str]
TextLine: TypeAlias = list[Piece]

NAMES: Final = {
    "kvm_ns": "KVM",
    "vmm_ns": "VMM",
    "wait_ns": "WAIT",
    "idle_ns": "IDLE",
    "paused_ns": "PAUSED",
}
_BOUND_CELLS: Final = 7
_COUNT_CELLS: Final = 7


@dataclass(frozen=True)
class Glyphs:
    """What pictures are drawn with; spark: lowest to highest; heat: by power of ten, 0 first.

    sorted: marks of a column by which lines are sorted, greatest first, and the other way.
    """

    spark: str
    bar: str
    heat: str
    sorted: str


BLOCKS: Final = Glyphs("▁▂▃▄▅▆▇█", "█", " ·░▒▓██", "▼▲")
ASCII: Final = Glyphs("_.-~=+*#", "#", plots.HEAT, "v^")


def sparkline(moments: Sequence[Moment], cells: int, glyphs: Glyphs) -> str:
    """Return the rate of the last so many intervals, the highest of them as the tallest."""
    rates = [one.exits_per_s for one in moments[-cells:]] if cells > 0 else []
    most = max(rates, default=0.0)
    last = len(glyphs.spark) - 1
    marks = (glyphs.spark[round(rate / most * last)] if rate else " " for rate in rates)
    return "".join(marks).rjust(max(0, cells)) if most else " " * max(0, cells)


def who(group: Group, width: int, glyphs: Glyphs) -> list[TextLine]:
    """Return a bar for each party that can have spent the time."""
    row = group.line.row
    room = max(1, width - 7 - 8 - 8)
    lines = []
    for _, field in PARTIES:
        ns = getattr(row, field)
        cells = round(ns / row.total_ns * room) if row.total_ns else 0
        each = round(ns / group.seconds) if group.seconds else 0
        figure = f"{figures.share(ns, row.total_ns) or '-':>7} {units.duration(each) + '/s':>8}"
        lines.append(
            [
                (f"{NAMES[field]:<7}", "bold"),
                ((glyphs.bar * cells).ljust(room), field),
                (figure, ""),
            ]
        )
    return lines


def histogram(counts: Sequence[int], width: int, height: int, glyphs: Glyphs) -> list[TextLine]:
    """Return a line for each octave, or for some together, from the first with exits on."""
    bins = list(_bins([counts], height))
    sums = [sum(counts[octave] for octave in one) for one in bins]
    most = max(sums, default=0)
    room = max(1, width - _BOUND_CELLS - 1 - _COUNT_CELLS - 1)
    lines: list[TextLine] = []
    for one, count in zip(bins, sums, strict=True):
        cells = max(1, count * room // most) if count else 0
        lines.append(
            [
                (f"{_from(one):>{_BOUND_CELLS}} ", "dim"),
                (f"{units.short(count, 1_000) if count else '-':>{_COUNT_CELLS}} ", ""),
                (glyphs.bar * cells, "histogram"),
            ]
        )
    return lines


def heat(moments: Sequence[Moment], width: int, height: int, glyphs: Glyphs) -> list[TextLine]:
    """Return a line for each octave, or for some together, the longest first; time goes right.

    A cell is darker by the power of ten of its exits.
    """
    room = max(1, width - _BOUND_CELLS - 1)
    shown = list(moments[-room:])
    bins = list(_bins([one.octaves for one in shown], height))
    lines: list[TextLine] = []
    for one in reversed(bins):
        line: TextLine = [(f"{_from(one):>{_BOUND_CELLS}} ", "dim")]
        line.append((" " * (room - len(shown)), ""))
        levels = (plots.magnitude(sum(at.octaves[o] for o in one)) for at in shown)
        line += _runs([(glyphs.heat[level], f"heat{level}" if level else "") for level in levels])
        lines.append(line)
    return lines


def heat_legend(glyphs: Glyphs) -> str:
    """Return what the shades of a heat map stand for."""
    powers = enumerate(dict.fromkeys(glyphs.heat[1:]))
    return " ".join(f"{glyph} {units.short(10**power, 1_000)}" for power, glyph in powers)


def _bins(distributions: Sequence[Sequence[int]], height: int) -> Iterator[range]:
    """Yield ranges of octaves, at most so many, that have all exits."""
    every = octaves.used(distributions)
    if height < 1:
        return
    step = -(-len(every) // height) or 1
    for begin in range(every.start, every.stop, step):
        yield range(begin, min(begin + step, every.stop))


def _from(octave_range: range) -> str:
    return units.duration(octaves.least_ns(octave_range.start))


def _runs(cells: Sequence[Piece]) -> TextLine:
    """Return neighbours of the same style as one piece."""
    line: TextLine = []
    for text, style in cells:
        if line and line[-1][1] == style:
            line[-1] = (line[-1][0] + text, style)
        else:
            line.append((text, style))
    return line
