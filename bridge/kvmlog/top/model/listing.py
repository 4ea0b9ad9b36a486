# SPDX-License-Identifier: GPL-2.0-or-later
"""The table's lines in order: sorted, filtered, and without flicker."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kvmlog.top.model.columns import COLUMNS, Column
from kvmlog.top.model.groups import ALL, Group, joined
from kvmlog.top.model.scope import Level

# Lines that had exits before and have none now, at most.
_KEPT_MOST: Final = 512


@dataclass(frozen=True)
class Order:
    """A column to sort by, by its name; reverse: the other way than the column usually is."""

    column: str = "time"
    reverse: bool = False

    def clicked(self, column: str) -> Order:
        """Return the order after a click on a column's title: a second one turns it round."""
        return replace(self, reverse=not self.reverse) if column == self.column else Order(column)

    def moved(self, columns: Sequence[Column], by: int) -> Order:
        """Return the order by a neighbouring column of those shown, turning at the ends."""
        names = [one.name for one in columns]
        at = names.index(self.column) if self.column in names else 0
        return Order(names[(at + by) % len(names)])


def arranged(groups: Sequence[Group], order: Order, text: str = "") -> list[Group]:
    """Return the groups in order, of all together first, halts last.

    text: only those whose names have it.
    """
    first = [one for one in groups if one.key == ALL]
    rest = [one for one in groups if one.key != ALL and matches(one, text)]
    column = next((one for one in COLUMNS if one.name == order.column), None)
    # Equals have the same order each time.
    rest.sort(key=lambda one: one.name.casefold())
    if column is None:
        rest.sort(key=lambda one: one.name.casefold(), reverse=order.reverse)
    else:
        rest.sort(key=column.order, reverse=column.descending != order.reverse)
    # Halts are no work, however long they take.
    rest.sort(key=lambda one: one.line.row.halt)
    return first + rest


def matches(group: Group, text: str) -> bool:
    """Return whether a filter's text is part of the name, or of what the guest is known by."""
    text = text.casefold()
    if not text or text in group.name.casefold():
        return True
    if group.guest is None:
        return False
    known = (group.guest.uuid or "", str(group.guest.pid), *group.guest.aliases)
    return any(text in word.casefold() for word in known)


class Kept:
    """The lines that were there since the table was opened, so that none comes and goes.

    Guests come and go by themselves: theirs are not kept.
    """

    def __init__(self, level: Level) -> None:
        self._level = level
        self._seen: dict[Hashable, Group] = {}

    def filled(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups, and those seen before with no exits now."""
        if self._level is Level.GUESTS:
            return list(groups)
        now = {one.key for one in groups}
        seconds = groups[0].seconds if groups else 0.0
        rest = [_quiet(one, seconds) for key, one in self._seen.items() if key not in now]
        for one in groups:
            self._seen.pop(one.key, None)
            self._seen[one.key] = one
        while len(self._seen) > _KEPT_MOST:
            del self._seen[next(iter(self._seen))]
        return [*groups, *rest]


def _quiet(group: Group, seconds: float) -> Group:
    nothing = joined([])
    row = nothing.row._replace(halt=group.line.row.halt)
    return replace(group, line=nothing._replace(row=row), seconds=seconds, halts=0, halt_ns=0)
