# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of a ring for readers of its records: the bridge's file of guests (docs/guests.md)."""

from __future__ import annotations

import bisect
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from kvmlog.guests.lookup import GuestIndex
from kvmlog.guests.model import Guest, GuestError, decode, open_file, read_file

__all__ = ["Guest", "GuestError", "GuestList", "GuestNames"]

# A record's end and its guest's announcement are read on two CPUs, one right after the other.
_RACE_NS: Final = 10**6
# A lookup by an exit's begin may ask for a time before its guest was announced.
_SLACK_NS: Final = 10**9
_TICK_NS: Final = 10**9 // os.sysconf("SC_CLK_TCK")


class GuestList:
    """A given list of guests, looked up by number, process or word.

    `problem`: why guests may be missing, a sentence.
    """

    problem: str | None = None

    def __init__(self, guests: Sequence[Guest] = ()) -> None:
        self._take(guests)

    def reload(self) -> bool:
        """Read the guests again; return whether they have changed."""
        return False

    def of_number(self, number: int, ns: int) -> Guest | None:
        """Return the guest of a record with this guest number and time (CLOCK_MONOTONIC, ns).

        The time should be that at which the record was written, exit_ns + total_ns: an exit may
        begin long before its guest is announced, but is never written before. Numbers begin again
        with each load of the source: a number belongs to the guest that it was announced for last
        before that time, else to the first one announced within a second after it; never to a later
        one.
        """
        announced = self._by_number.get(number, [])
        for slack_ns in (_RACE_NS, _SLACK_NS):
            at = bisect.bisect_right(announced, ns + slack_ns, key=lambda given: given[0])
            if at:
                return announced[at - 1 if slack_ns == _RACE_NS else 0][1]
        return None

    def turns_ns(self, number: int) -> Iterator[int]:
        """Yield the times at which the answer of of_number() may change, in any order."""
        for ns, _ in self._by_number.get(number, ()):
            yield from (ns - _RACE_NS, ns - _SLACK_NS)

    def of_process(self, tgid: int, start_boottime_ns: int) -> Guest | None:
        """Return the guest of a process; None for an unknown process, or start 0."""
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
        """Return all guests: those that have ended, in that order, then those that run."""
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
    """The guests of a ring, from the file `<ring>.guests`.

    There are none where the file is missing or cannot be used; `problem` then says why it cannot.
    """

    def __init__(self, ring_path: str) -> None:
        self.path = f"{ring_path}.guests"
        self._loaded: tuple[int, ...] | None = None  # identity of the file that was read
        super().__init__()
        self.reload()

    def reload(self) -> bool:
        """Read the file again if it has been replaced; return whether the guests have changed."""
        try:
            fd = open_file(self.path)
        except FileNotFoundError:
            return self._update(None, [], None)
        except GuestError as error:
            return self._update(None, [], str(error))
        try:
            status = os.fstat(fd)
            identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if identity == self._loaded:
                return False
            try:
                _, guests = decode(self.path, read_file(self.path, fd))
            except (GuestError, OSError) as error:
                return self._update(identity, [], str(error))
            return self._update(identity, guests, None)
        finally:
            os.close(fd)

    def _update(
        self, identity: tuple[int, ...] | None, guests: list[Guest], problem: str | None
    ) -> bool:
        changed = (identity, problem) != (self._loaded, self.problem)
        self._loaded, self.problem = identity, problem
        if changed:
            self._take(guests)
        return changed
