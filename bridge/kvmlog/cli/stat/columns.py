# SPDX-License-Identifier: GPL-2.0-or-later
"""The columns of the tables of `kvmlog stat`, and which of them are shown.

Groups have the columns of what they are by, then figures. `--columns` chooses the figures. Without
it a terminal gets all that fit its width; whatever is no terminal gets NARROW, at any width.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TextIO, TypeAlias

from kvmlog.cli.table import Column
from kvmlog.ring.statistics.reader import By, Row
from kvmlog.stat.report import Line
from kvmlog.util import units

Field: TypeAlias = tuple[Column, Callable[[Line], str]]

# These, guests' names of 17 characters and the longest common reasons make 80.
NARROW: Final = ("count", "total", "share", "mean", "max")
_RETURN_NARROW: Final = ("count", "total", "vmm", "share", "mean")
_PRESETS: Final = ("narrow", "wide")
# As people and other tools call them.
_ALIASES: Final = {"avg": "mean", "p99.9": "p999"}
_TIME_CELLS: Final = 6
# Of a terminal that is too narrow for all, the column with the highest one goes first.
_SPARE: Final = ("max", "p99", "total", "p50", "p999", "p90", "idle", "min")


def parse(value: str) -> tuple[str, ...]:
    """Parse "count,p99", "narrow" or "wide", for argparse; return names, or one preset."""
    words = [word.strip().lower() for word in value.split(",")]
    if len(words) == 1 and words[0] in _PRESETS:
        return (words[0],)
    found: list[str] = []
    for word in words:
        name = _ALIASES.get(word, word)
        if name not in FIGURES:
            close = difflib.get_close_matches(name, (*FIGURES, *_PRESETS), 1, 0.5)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise argparse.ArgumentTypeError(
                f"{word!r} is not a column{meant}; give narrow, wide, or some of "
                f"{', '.join(FIGURES)}, separated by commas"
            )
        if name in found:
            raise argparse.ArgumentTypeError(f"the column {name} stands there twice; give it once")
        found.append(name)
    return tuple(found)


def default(stream: TextIO) -> tuple[str, ...] | None:
    """Return the figures where none were chosen; None: all that fit."""
    return None if stream.isatty() else ("narrow",)


def figures(by: By, names: Sequence[str] | None) -> list[Field]:
    """Return the columns of these figures, or of a preset.

    None: all of them, of which some may be left out.
    """
    known = _RETURN_FIGURES if By.RETURN in by else FIGURES
    if names is None:
        return list(known.values())
    if tuple(names) == ("narrow",):
        names = _RETURN_NARROW if By.RETURN in by else NARROW
    elif tuple(names) == ("wide",):
        names = tuple(known)
    return [_required(known[name]) for name in names]


def lacking(by: By, names: Sequence[str]) -> list[str]:
    """Return the figures among these that groups by return do not have."""
    known = (*_RETURN_FIGURES, *_PRESETS)
    return [name for name in names if By.RETURN in by and name not in known]


def share(part: int, whole: int) -> str:
    """Return "12.3%", rounded; "" where there is no whole, or nothing of it."""
    if not whole or not part:
        return ""
    tenths = (part * 1_000 * 2 + whole) // (whole * 2)
    return f"{tenths // 10}.{tenths % 10}%"


def _required(field: Field) -> Field:
    column, cell = field
    return Column(column.title, right=True, width=column.width), cell


def _count(line: Line) -> str:
    return f"{line.row.count}"


def _share(line: Line) -> str:
    return share(line.part_ns, line.whole_ns)


def _time(ns: int) -> str:
    return units.duration(ns) if ns else ""


def _mean(ns: int, count: int) -> str:
    return units.duration((ns + count // 2) // count) if ns else ""


def _extreme(of: Callable[[Row], int]) -> Callable[[Line], str]:
    return lambda line: units.duration(of(line.row)) if line.row.total_ns else ""


def _percentile(of: Callable[[Row], int]) -> Callable[[Line], str]:
    def cell(line: Line) -> str:
        if not line.row.total_ns:
            return ""
        return ("<" if line.row.rough else "") + units.duration(of(line.row))

    return cell


def _part(of: Callable[[Row], int]) -> Callable[[Line], str]:
    return lambda line: share(of(line.row), line.row.total_ns)


def _fields(
    cells: Mapping[str, Callable[[Line], str]], spare: Sequence[str]
) -> Mapping[str, Field]:
    """Return the columns by name; spare: those that may be left out, the last ones first."""
    return {
        name: (
            Column(
                "P99.9" if name == "p999" else name.upper(),
                right=True,
                width=_TIME_CELLS,
                spare=spare.index(name) + 1 if name in spare else 0,
            ),
            cell,
        )
        for name, cell in cells.items()
    }


FIGURES: Final = _fields(
    {
        "count": _count,
        "total": lambda line: _time(line.row.total_ns),
        "share": _share,
        "mean": lambda line: _mean(line.row.total_ns, line.row.count),
        "min": _extreme(lambda row: row.min_ns),
        "p50": _percentile(lambda row: row.p50_ns),
        "p90": _percentile(lambda row: row.p90_ns),
        "p99": _percentile(lambda row: row.p99_ns),
        "p999": _percentile(lambda row: row.p999_ns),
        "max": _extreme(lambda row: row.max_ns),
        "kvm": _part(lambda row: row.kvm_ns),
        "vmm": _part(lambda row: row.vmm_ns),
        "wait": _part(lambda row: row.wait_ns),
        "idle": _part(lambda row: row.idle_ns),
        "paused": _part(lambda row: row.paused_ns),
    },
    _SPARE,
)
_RETURN_FIGURES: Final = _fields(
    {
        "count": _count,
        "total": lambda line: _time(line.row.total_ns),
        "vmm": lambda line: _time(line.row.vmm_ns),
        "share": _share,
        "mean": lambda line: _mean(line.row.vmm_ns, line.row.count),
        "paused": lambda line: _time(line.row.paused_ns),
    },
    ("total", "paused"),
)
