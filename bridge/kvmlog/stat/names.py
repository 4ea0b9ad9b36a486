# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of the statistics by name: what they are called in a table, and which --vm means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from kvmlog.guests.lookup import WordIndex
from kvmlog.guests.names import Guest, GuestList
from kvmlog.ring.statistics.reader import StatisticsGuest


class StatisticsNames:
    """Names of the guests that statistics have, from the bridge's registry of guests.

    A guest is "web1"; "web1#2" by the source's number where its process has several; "web1:4242"
    by its process where it has ended, or several run under one name; "comm:4242" where it has no
    name, and "#2" where even its process is not known.
    """

    def __init__(self, names: GuestList) -> None:
        self._names = names
        self.guests: dict[int, Guest | None] = {}
        self.labels: dict[int, str] = {}
        # What only the statistics know: their labels, and processes that the file has not.
        self._own: WordIndex[int] = WordIndex()
        self._accepted: set[str] = set()  # words that named a guest once

    def update(self, guests: Mapping[int, StatisticsGuest]) -> None:
        """Names them all anew."""
        self._names.reload()
        self.guests = {
            one.id: self._names.of_process(one.tgid, one.start_boottime_ns) if one.tgid else None
            for one in guests.values()
        }
        processes = Counter((one.tgid, one.start_boottime_ns) for one in guests.values())
        running = {
            one.id: (guest.name, one.tgid)
            for one in guests.values()
            if (guest := self.guests[one.id]) and guest.ended_realtime_ns is None
        }
        holders = Counter(name for name, _ in set(running.values()))
        self.labels = {}
        self._own = WordIndex()
        for one in guests.values():
            guest = self.guests[one.id]
            if one.tgid == 0:
                label = ""
            elif guest is None:
                label = f"{one.comm}:{one.tgid}"
            elif not guest.named or (one.id in running and holders[guest.name] == 1):
                label = guest.name
            else:
                label = f"{guest.name}:{one.tgid}"
            if one.tgid == 0 or processes[one.tgid, one.start_boottime_ns] > 1:
                label += f"#{one.number}"
            self.labels[one.id] = label
            self._own.add(one.id, (label, str(one.tgid) if one.tgid else None))

    def matching(self, words: Sequence[str]) -> frozenset[int]:
        """Return the ids of the guests that NAME|UUID|PID words mean, labels included.

        A guest without an exit yet, which the statistics do not know, has none. GuestError for a
        word that matches no guest at all.
        """
        own = {word: self._own.matching(word) for word in words}
        # The file forgets guests that ended long ago, and need not be there at all.
        self._accepted.update(word for word, found in own.items() if found)
        filed = {(one.pid, one.start_ticks) for one in self._names.matching(words, self._accepted)}
        self._accepted.update(words)
        return frozenset(number for found in own.values() for number in found) | frozenset(
            number
            for number, guest in self.guests.items()
            if guest and (guest.pid, guest.start_ticks) in filed
        )
