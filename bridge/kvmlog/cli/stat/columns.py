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
from kvmlog.ring.statistics.reader import By
from kvmlog.stat import figures as figures_of
from kvmlog.stat.report import Line

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


def _required(field: Field) -> Field:
    column, cell = field
    return Column(column.title, right=True, width=column.width), cell


def _fields(
    cells: Mapping[str, Callable[[Line], str]], spare: Sequence[str]
) -> Mapping[str, Field]:
    """Return the columns by name; spare: those that may be left out, the last ones first."""
    return {
        name: (
            Column(
                figures_of.title(name),
                right=True,
                width=_TIME_CELLS,
                spare=spare.index(name) + 1 if name in spare else 0,
            ),
            cell,
        )
        for name, cell in cells.items()
    }


FIGURES: Final = _fields(figures_of.CELLS, _SPARE)
_RETURN_FIGURES: Final = _fields(figures_of.RETURN_CELLS, ("total", "paused"))
