# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of the page: cells have their text, and the number that they are sorted and checked by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from kvmlog.stat import figures
from kvmlog.util import units

Number: TypeAlias = int | float


@dataclass(frozen=True)
class Cell:
    """One cell. value: the exact figure (ns, a count, a share of 1), None for words.

    bar: the part of a bar beside the text, 0 to 1; None: none.
    """

    text: str
    value: Number | None = None
    bar: float | None = None


@dataclass(frozen=True)
class Column:
    """A column; hint: what its title means, "" where that is plain."""

    title: str
    numeric: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table; key: its id in the page; note: what is to be said below it."""

    key: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


NOTHING: Final = Cell("")


def words(text: str) -> Cell:
    """Return a cell of words."""
    return Cell(text)


def count(number: int) -> Cell:
    """Return a cell of a count."""
    return Cell(f"{number:,}", number)


def time(ns: int, *, less: bool = False) -> Cell:
    """Return a cell of a duration; less: it is an upper bound."""
    return Cell(("<" if less else "") + units.duration(ns), ns) if ns else Cell("", 0)


def share(part: int, whole: int, *, bar: bool = False) -> Cell:
    """Return a cell of a part of a whole, as `kvmlog stat` rounds it; empty where there is none."""
    if not whole:
        return NOTHING
    return Cell(figures.share(part, whole), part / whole, part / whole if bar else None)


def rate(per_s: float) -> Cell:
    """Return a cell of a number per second."""
    digits = 0 if per_s >= 100 else 1 if per_s >= 1 else 3
    return Cell(f"{per_s:,.{digits}f}", per_s)
