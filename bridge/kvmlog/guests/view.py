# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as readers of records show them: what they are called, and which of them are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvmlog.guests.labels import GuestLabels
from kvmlog.guests.model import Guest
from kvmlog.guests.names import GuestList
from kvmlog.ring.records import AnyRecord, GuestRecord, Record


class GuestView:
    """words: names, UUIDs or pids, empty: all guests; GuestError when one names none."""

    def __init__(self, names: GuestList, words: Sequence[str] = ()) -> None:
        self._words = tuple(words)
        self._names = names
        self.labels = GuestLabels(self._names)
        self._chosen = _keys(self._names.matching(self._words))

    def reload(self) -> None:
        """Guests that came since: they have names, and are shown if they match."""
        if self._names.reload():
            # The file forgets guests that ended long ago; their words are no mistake for that.
            self._chosen = _keys(self._names.matching(self._words, accepted=self._words))

    def learn(self, records: Iterable[AnyRecord]) -> None:
        """Takes note of records that are to be shown (GuestLabels.learn)."""
        self.labels.learn(records)

    def shows(self, record: AnyRecord) -> bool:
        """Whether a record is of a chosen guest, or of none: losses, switches, clocks, CPUs."""
        if not self._words or not isinstance(record, Record | GuestRecord):
            return True
        guest = self.labels.guest(record)
        return guest is not None and (guest.pid, guest.start_ticks) in self._chosen


def _keys(guests: Iterable[Guest]) -> frozenset[tuple[int, int]]:
    return frozenset((guest.pid, guest.start_ticks) for guest in guests)
