# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as `dump` and `tail` show them: what they are called, and which of them are shown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from kvmlog.bridge import wire
from kvmlog.bridge.guests.entry import GuestError
from kvmlog.exits.guests import GuestNames
from kvmlog.exits.labels import GuestLabels


class GuestView:
    """words: as --vm takes them, empty: all guests; GuestError when one names none.

    A file of guests that cannot be used is said on stderr, and the guests are numbers.
    """

    def __init__(self, ring: str, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._names = GuestNames(ring)
        if self._names.problem is not None:
            print(f"kvmlog: {self._names.problem}", file=sys.stderr)
        self.labels = GuestLabels(self._names)
        self._names.matching(self._words)
        self._chosen = self._find()

    def reload(self) -> None:
        """Guests that came since: they have names, and are shown if they match."""
        if self._names.reload():
            self._chosen = self._find()

    def learn(self, records: Iterable[wire.AnyRecord]) -> None:
        """Takes note of records that are to be shown (GuestLabels.learn)."""
        self.labels.learn(records)

    def shows(self, record: wire.AnyRecord) -> bool:
        """Whether a record is of a chosen guest, or of none: losses, switches, clocks, CPUs."""
        if not self._words or not isinstance(record, wire.Record | wire.GuestRecord):
            return True
        guest = self.labels.guest(record)
        return guest is not None and (guest.pid, guest.start_ticks) in self._chosen

    def _find(self) -> frozenset[tuple[int, int]]:
        found = set()
        for word in self._words:
            try:
                matching = self._names.matching([word])
            except GuestError:
                continue  # of the start; the file has forgotten it since
            found |= {(guest.pid, guest.start_ticks) for guest in matching}
        return frozenset(found)
