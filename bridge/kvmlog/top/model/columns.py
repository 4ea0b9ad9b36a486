# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns of the table, and which of them fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.stat import figures
from kvmlog.top.model.groups import Group
from kvmlog.top.model.scope import Level
from kvmlog.util import units

_BAR_CELLS: Final = 12
_LEAST_NAME: Final = 8
_USUAL_NAME: Final = 20
_MOST_NAME: Final = 44
# Who spent the time, as the bar shows them: letter (where there is no colour), field of a row.
PARTIES: Final = (
    ("K", "kvm_ns"),
    ("V", "vmm_ns"),
    ("W", "wait_ns"),
    ("I", "idle_ns"),
    ("P", "paused_ns"),
)


@dataclass(frozen=True)
class Column:
    """A column: how a group's cell reads, and what it is sorted by.

    spare: where all do not fit, the highest goes first; 0 stays. descending: greatest first.
    """

    name: str
    title: str
    width: int
    cell: Callable[[Group], str]
    order: Callable[[Group], float | str]
    spare: int = 0
    right: bool = True
    descending: bool = True
    levels: frozenset[Level] = frozenset(Level)


def columns_of(level: Level, width: int, longest: int, notes: bool = True) -> list[Column]:
    """Return the columns that fit so many cells; the first one, the name, takes what it needs.

    longest: cells of the longest name; notes: whether any line has one.
    """
    found = [one for one in COLUMNS if level in one.levels and (notes or one.name != "note")]
    name = min(max(longest, len(level.value)), _MOST_NAME)

    def excess(name: int) -> int:
        return name + sum(one.width + 1 for one in found) - width

    while excess(min(name, _USUAL_NAME)) > 0 and any(one.spare for one in found):
        found.remove(max(found, key=lambda one: one.spare))
    least = min(name, _LEAST_NAME)
    while excess(least) > 0 and found:
        found.pop()
    cells = max(1, min(name, width - sum(one.width + 1 for one in found)))
    title = level.value.upper() if level is not Level.VCPUS else "VCPU"
    first = Column("name", title, cells, lambda one: one.name, _name, 0, False, False)
    return [first, *found]


def bar(group: Group, cells: int = _BAR_CELLS) -> list[tuple[str, int]]:
    """Return who spent the time of a group: (field of PARTIES, cells), together all cells."""
    row = group.line.row
    if not row.total_ns:
        return []
    parts: list[tuple[str, int]] = []
    done = spent = 0
    for _, field in PARTIES:
        spent += getattr(row, field)
        until = (spent * cells * 2 + row.total_ns) // (row.total_ns * 2)
        if until > done:
            parts.append((field, until - done))
            done = until
    return parts


def bar_letters(group: Group) -> str:
    """Return the same as letters: "KKKKVVW"."""
    letters = {field: letter for letter, field in PARTIES}
    return "".join(letters[field] * cells for field, cells in bar(group))


def _name(group: Group) -> str:
    return group.name.casefold()


def _rate(per_s: float) -> str:
    if not per_s:
        return ""
    return units.short(per_s, 1_000) if per_s >= 1 else "<1"


def _figure(name: str) -> Callable[[Group], str]:
    cell = figures.CELLS[name]
    return lambda group: cell(group.line)


def _row(field: str) -> Callable[[Group], float]:
    return lambda group: float(getattr(group.line.row, field))


def _share_of(field: str) -> Callable[[Group], float]:
    return lambda group: getattr(group.line.row, field) / max(1, group.line.row.total_ns)


def _share(group: Group) -> float:
    return group.line.part_ns / group.line.whole_ns if group.line.whole_ns else 0.0


def _mean(group: Group) -> float:
    return group.line.row.total_ns / max(1, group.line.row.count)


def _time(group: Group) -> str:
    ns = round(group.ns_per_s)
    return units.duration(ns) if ns else ""


_WITH_HALTS: Final = frozenset({Level.GUESTS, Level.VCPUS})
COLUMNS: Final[Sequence[Column]] = (
    Column("exits", "EXITS/s", 8, lambda one: _rate(one.exits_per_s), lambda one: one.exits_per_s),
    Column("time", "TIME/s", 7, _time, lambda one: one.ns_per_s),
    Column("share", "SHARE", 6, _figure("share"), _share, 3),
    Column("mean", "MEAN", 7, _figure("mean"), _mean, 2),
    Column("p50", "P50", 7, _figure("p50"), _row("p50_ns"), 9),
    Column("p99", "P99", 7, _figure("p99"), _row("p99_ns"), 1),
    Column("p999", "P99.9", 7, _figure("p999"), _row("p999_ns"), 10),
    Column("max", "MAX", 7, _figure("max"), _row("max_ns"), 4),
    Column("kvm", "KVM", 6, _figure("kvm"), _share_of("kvm_ns"), 11),
    Column("vmm", "VMM", 6, _figure("vmm"), _share_of("vmm_ns"), 8),
    Column("wait", "WAIT", 6, _figure("wait"), _share_of("wait_ns"), 7),
    Column("who", "WHO", _BAR_CELLS, bar_letters, _share_of("vmm_ns"), 5, False),
    Column(
        *("halts", "HALTS/s", 8, lambda one: _rate(one.halts_per_s), lambda one: one.halts_per_s),
        6,
        levels=_WITH_HALTS,
    ),
    Column("note", "NOTE", 12, lambda one: one.note, lambda one: one.note, 12, False, False),
)
