# SPDX-License-Identifier: GPL-2.0-or-later
"""What lines of the table had in the intervals before, for sparklines and heat maps."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Final, NamedTuple

from kvmlog.ring.statistics.reader import OCTAVES
from kvmlog.stat import octaves
from kvmlog.top.model.groups import Group

# As many as the widest terminals have cells.
MOMENTS: Final = 240
# Of a line that is no longer there nothing is kept after so many intervals.
_FORGET_AFTER: Final = 30


class Moment(NamedTuple):
    """An interval: exits a second, and how many exits were in each octave."""

    exits_per_s: float
    octaves: tuple[int, ...]


_GAP: Final = Moment(0.0, octaves.NONE)


class History:
    """Moments of each line, by its key and that of its table; the newest last."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[Moment]] = {}
        self._absent: dict[Hashable, int] = {}

    def add(self, table: Hashable, groups: Iterable[Group]) -> None:
        """Take what an interval had; lines of the same table that are not there had nothing."""
        now = {
            (table, one.key): Moment(
                one.exits_per_s,
                one.line.octaves if len(one.line.octaves) == OCTAVES else octaves.NONE,
            )
            for one in groups
        }
        for key in [key for key in self._lines if key not in now and key[0] == table]:  # type: ignore[index]
            self._absent[key] = self._absent.get(key, 0) + 1
            self._lines[key].append(_GAP)
            if self._absent[key] > _FORGET_AFTER:
                del self._lines[key], self._absent[key]
        for key, moment in now.items():
            self._absent.pop(key, None)
            self._lines.setdefault(key, deque(maxlen=MOMENTS)).append(moment)

    def of(self, table: Hashable, key: Hashable) -> list[Moment]:
        """Return the moments of a line, oldest first."""
        return list(self._lines.get((table, key), ()))

    def forget(self, keep: Iterable[Hashable]) -> None:
        """Drop the lines of all tables but these."""
        kept = set(keep)
        for key in [key for key in self._lines if key[0] not in kept]:  # type: ignore[index]
            del self._lines[key]
            self._absent.pop(key, None)
