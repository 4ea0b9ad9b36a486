# SPDX-License-Identifier: GPL-2.0-or-later
"""What a ring gets, read in order and without a gap that is not told, to be recorded."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from kvmlog.exits.search import Search, Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.model import Guest
from kvmlog.guests.names import GuestList
from kvmlog.recording.writer import RecordingWriter
from kvmlog.ring.filter import SLOTS
from kvmlog.ring.reader import RingReader

# How often what changes rarely is looked at: guests, clocks, losses of the source, the name.
_LOOK_S: Final = 1.0


class Taken(NamedTuple):
    """What one look took: slots searched, and what it found out."""

    searched: int
    overwritten: int
    replaced: bool


class Feed:
    """A reader of a ring from `index` on, that hands all it takes to a recording's writer.

    names, words: the guests that are recorded with their names; no words: all.
    """

    def __init__(
        self,
        ring: RingReader,
        selection: Selection,
        names: GuestList,
        words: tuple[str, ...],
        index: int,
    ) -> None:
        self._ring = ring
        self._search = Search(ring, selection)
        self._view: GuestView | None = selection.guests
        self._names = names
        self._words = words
        info = ring.info()
        self._ring_id = info.ring_id
        self._lost = info.lost_records
        self._next = index
        self._looked_s = time.monotonic()

    def describe(self, writer: RecordingWriter) -> None:
        """Write guests and clocks as they are now, and take note of what the source has lost."""
        self._looked_s = time.monotonic()
        if self._view is not None:
            self._view.reload()
        self._names.reload()
        writer.set_guests(self._guests())
        writer.set_clocks(self._ring.clocks())
        lost = self._ring.info().lost_records
        if lost > self._lost:
            writer.lose(lost - self._lost)
        self._lost = lost

    def take(self, writer: RecordingWriter) -> Taken:
        """Hand over what has come, some ten thousand records at most; call again while it did."""
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self.describe(writer)
        found = self._search.since(self._next, slots=SLOTS)
        replaced = found.ring_id != self._ring_id
        if replaced:
            self._ring_id, self._next, self._lost = found.ring_id, 0, 0
            found = self._search.since(0, slots=SLOTS)
        searched = found.next_index - found.first_index
        if found.overwritten:
            writer.lose(found.overwritten, overwritten=True)
        if found.records:
            writer.append(found.records)
        # A stale copy, which the bridge replaces within a second, ends before what was taken.
        self._next = max(self._next, found.next_index)
        return Taken(searched, found.overwritten, replaced)

    def take_all(self, writer: RecordingWriter) -> Taken:
        """Hand over all that has come until now."""
        searched = overwritten = 0
        replaced = False
        while True:
            taken = self.take(writer)
            searched += taken.searched
            overwritten += taken.overwritten
            replaced |= taken.replaced
            if taken.searched < SLOTS:
                return Taken(searched, overwritten, replaced)

    def _guests(self) -> list[Guest]:
        if not self._words:
            return self._names.guests()
        return self._names.matching(self._words, accepted=self._words)


def next_index(ring: RingReader) -> int:
    """Return the index that the next record will have."""
    return ring.snapshot(0).next_index
