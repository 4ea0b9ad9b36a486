# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as of one moment, indexed for lookups; immutable, and shared by threads."""

from __future__ import annotations

import bisect
import os
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Final

from kvmlog.guests.lookup import GuestIndex
from kvmlog.guests.model import Guest

# A record's end and its guest's announcement are read on two CPUs, one right after the other.
_RACE_NS: Final = 10**6
# A lookup by an exit's begin may ask for a time before its guest was announced.
_SLACK_NS: Final = 10**9
_TICK_NS: Final = 10**9 // os.sysconf("SC_CLK_TCK")


class GuestTable:
    """Guests by number, process and word; each index is made when it is first needed.

    problem: why guests may be missing, a sentence for error messages.
    """

    def __init__(self, guests: Sequence[Guest] = (), problem: str | None = None) -> None:
        self.guests = tuple(guests)
        self._problem = problem

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
        if not words:
            return []
        found = self._index.resolve(words, accepted)
        return list(dict.fromkeys(guest for guests in found.values() for guest in guests))

    @cached_property
    def _index(self) -> GuestIndex:
        return GuestIndex(self.guests, "known", self._problem)

    @cached_property
    def _by_process(self) -> dict[tuple[int, int], Guest]:
        return {(one.pid, one.start_ticks): one for one in self.guests if one.start_ticks}

    @cached_property
    def _by_number(self) -> dict[int, list[tuple[int, Guest]]]:
        found: dict[int, list[tuple[int, Guest]]] = {}
        for guest in self.guests:
            for number, ns in guest.numbers:
                found.setdefault(number, []).append((ns, guest))
        for announced in found.values():
            announced.sort(key=lambda given: given[0])
        return found
