# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of guests for those who read records: the bridge's file of guests (docs/guests.md)."""

from __future__ import annotations

import bisect
import os
from collections.abc import Collection, Sequence
from typing import Final

from kvmlog.guests.lookup import GuestIndex
from kvmlog.guests.model import Guest, GuestError, decode, open_file, read_file

__all__ = ["Guest", "GuestError", "GuestList", "GuestNames"]

# A record's end and its guest's announcement are read on two CPUs, one right after the other.
_RACE_NS: Final = 10**6
# Who asks with an exit's begin may ask for a time before its guest was announced.
_SLACK_NS: Final = 10**9
_TICK_NS: Final = 10**9 // os.sysconf("SC_CLK_TCK")


class GuestList:
    """Guests that are given, found by what records and people call them.

    `problem`: why they are fewer than they should be, a sentence.
    """

    problem: str | None = None

    def __init__(self, guests: Sequence[Guest] = ()) -> None:
        self._take(guests)

    def reload(self) -> bool:
        """Looks whether there are others now; whether there are."""
        return False

    def of_number(self, number: int, ns: int) -> Guest | None:
        """Whose record this is: its guest number, and its time (CLOCK_MONOTONIC, ns).

        Best is the time it was written, exit_ns + total_ns: an exit may begin long before its
        guest is announced, but is never written before. Numbers begin again with each load of the
        source: a number is its last owner's at that time, or, if it had none, that of who was
        announced within a second. None rather than a guest that came later.
        """
        announced = self._by_number.get(number, [])
        for slack_ns in (_RACE_NS, _SLACK_NS):
            at = bisect.bisect_right(announced, ns + slack_ns, key=lambda given: given[0])
            if at:
                return announced[at - 1 if slack_ns == _RACE_NS else 0][1]
        return None

    def of_process(self, tgid: int, start_boottime_ns: int) -> Guest | None:
        """The guest of a process; None for one that the file does not have, or start 0."""
        if start_boottime_ns == 0:
            return None
        return self._by_process.get((tgid, start_boottime_ns // _TICK_NS))

    def matching(self, words: Sequence[str], accepted: Collection[str] = ()) -> list[Guest]:
        """Return the guests, running and ended, that any of the words matches.

        The rules, `accepted` and GuestError are those of GuestIndex.resolve.
        """
        found = self._index.resolve(words, accepted)
        return list(dict.fromkeys(guest for guests in found.values() for guest in guests))

    def guests(self) -> list[Guest]:
        """All of the file: those that have ended, in that order, then those that run."""
        return list(self._guests)

    def _take(self, guests: Sequence[Guest]) -> None:
        self._guests = list(guests)
        self._index = GuestIndex(guests, "known", self.problem)
        self._by_process = {(g.pid, g.start_ticks): g for g in guests if g.start_ticks}
        self._by_number: dict[int, list[tuple[int, Guest]]] = {}
        for guest in guests:
            for number, ns in guest.numbers:
                self._by_number.setdefault(number, []).append((ns, guest))
        for announced in self._by_number.values():
            announced.sort(key=lambda given: given[0])


class GuestNames(GuestList):
    """The guests of a ring, as `<ring>.guests` has them.

    A missing file is one without guests; for one that cannot be used it is the same, and
    `problem` is the sentence that says why.
    """

    def __init__(self, ring_path: str) -> None:
        self.path = f"{ring_path}.guests"
        self._seen: tuple[int, ...] | None = None  # which file it was
        super().__init__()
        self.reload()

    def reload(self) -> bool:
        """Reads the file again if it is another one than before; whether it was."""
        try:
            fd = open_file(self.path)
        except FileNotFoundError:
            return self._now(None, [], None)
        except GuestError as error:
            return self._now(None, [], str(error))
        try:
            status = os.fstat(fd)
            seen = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return False
            try:
                _, guests = decode(self.path, read_file(self.path, fd))
            except (GuestError, OSError) as error:
                return self._now(seen, [], str(error))
            return self._now(seen, guests, None)
        finally:
            os.close(fd)

    def _now(self, seen: tuple[int, ...] | None, guests: list[Guest], problem: str | None) -> bool:
        changed = (seen, problem) != (self._seen, self.problem)
        self._seen, self.problem = seen, problem
        if changed:
            self._take(guests)
        return changed
