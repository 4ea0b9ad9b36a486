# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of a reader of records: their labels, and the ones that are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvmlog.guests.labels import GuestLabels
from kvmlog.guests.model import Guest
from kvmlog.guests.names import GuestList
from kvmlog.ring.filter import GuestTime
from kvmlog.ring.records import AnyRecord, GuestRecord, Record


class GuestView:
    """Labels of guests, and a choice among them.

    words: names, UUIDs or pids of the guests to show, empty: all (kvmlog.guests.lookup). GuestError
    when a word matches none.
    """

    def __init__(self, names: GuestList, words: Sequence[str] = ()) -> None:
        self._words = tuple(words)
        self._names = names
        self.labels = GuestLabels(self._names)
        self._chosen = _keys(self._names.matching(self._words))

    def reload(self) -> None:
        """Take in new guests: they get labels, and are shown if a word matches them."""
        if self._names.reload():
            # The file forgets guests that ended long ago; their words are no mistake for that.
            self._chosen = _keys(self._names.matching(self._words, accepted=self._words))

    def learn(self, records: Iterable[AnyRecord]) -> None:
        """Take note of records that are to be shown (GuestLabels.learn)."""
        self.labels.learn(records)

    def times(self) -> list[GuestTime] | None:
        """Return when which guest numbers are chosen, None for all: shows(), of exits, for C."""
        return self.labels.times(self._chosen) if self._words else None

    def numbers(self) -> frozenset[int] | None:
        """Return the guest numbers that chosen guests have or had, None for all."""
        times = self.times()
        return None if times is None else frozenset(one.guest for one in times)

    def shows(self, record: AnyRecord) -> bool:
        """Return whether a record is a chosen guest's, or no guest's, as losses and clocks are."""
        if not self._words or not isinstance(record, Record | GuestRecord):
            return True
        guest = self.labels.guest(record)
        return guest is not None and (guest.pid, guest.start_ticks) in self._chosen


def _keys(guests: Iterable[Guest]) -> frozenset[tuple[int, int]]:
    return frozenset((guest.pid, guest.start_ticks) for guest in guests)
