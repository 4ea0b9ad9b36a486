# SPDX-License-Identifier: GPL-2.0-or-later
"""A flight recorder: events to wait for, and what of a ring surrounds one.

The ring itself is its memory: until an event comes, records are only looked at where they stand, in
C. Then what the ring still has of the time before is recorded, and what comes for a while after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.exits.format.lines import exit_cells
from kvmlog.exits.reasons import lookup
from kvmlog.exits.search import Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.native import lib
from kvmlog.recording.feed import Feed
from kvmlog.recording.format import RecordingError
from kvmlog.ring.filter import ANNOUNCEMENTS, SLOTS, Filter
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import Record, decode_record, iter_records
from kvmlog.util import units
from kvmlog.util.errors import KvmlogError

# How often a recorder that waits looks at what has come.
LOOK_S: Final = 0.1
_SLOWER: Final = "slower-than"
# Of the newest announcements: more than there are guests that the file does not list yet.
_ANNOUNCED_MOST: Final = 1_024
_EXITS: Final[tuple[int, ...]] = (lib.KVMLOG_RECORD_EXIT,)
TRIGGERS: Final = "slower-than TIME, internal-error, triple-fault, shutdown, or an exit reason"


_EVERY_EXIT: Final = Selection()


@dataclass(frozen=True)
class Trigger:
    """What is waited for: exits of some reasons, or that took as long without halt and pause."""

    text: str
    busy_ns: int = 0
    selection: Selection = _EVERY_EXIT

    def filter(self, guests: GuestView | None) -> Filter:
        """Return the same for the native search, of these guests."""
        return Filter(
            types=_EXITS,
            reasons=self.selection.reasons,
            returns=self.selection.returns,
            busy_ns=self.busy_ns,
            guests=None if guests is None else guests.times(),
        )


@dataclass(frozen=True)
class Event:
    """An exit that was waited for."""

    trigger: str
    record: Record

    @property
    def written_ns(self) -> int:
        """Return when the exit was written: at its re-entry."""
        return self.record.exit_ns + self.record.total_ns

    def text(self, guest: str | None) -> str:
        """Return what happened, in words; guest: its name, None: unknown."""
        record = self.record
        cells = exit_cells(record)
        busy_ns = max(0, record.total_ns - record.halt_ns - record.paused_ns)
        return (
            f"{self.trigger}: {guest or f'guest {record.guest}'}, vCPU {cells.vcpu}, "
            f"{cells.reason} {cells.detail}".rstrip()
            + f", {units.duration(busy_ns)}"
        )


def parse(text: str) -> Trigger:
    """Parse "slower-than 10ms", or an exit reason; RecordingError for neither."""
    word, _, value = text.strip().partition(" ")
    if word.replace("_", "-") == _SLOWER:
        try:
            return Trigger(
                f"{_SLOWER} {value.strip()}", busy_ns=units.parse_duration(value.strip())
            )
        except ValueError:
            raise RecordingError(
                f"{text!r} is not a time to wait for; give a number with ns, us, ms or s, as in "
                f"'{_SLOWER} 10ms'"
            ) from None
    found = lookup.find(text)
    if not found:
        raise RecordingError(
            f"{text!r} is nothing to wait for: give {TRIGGERS}; "
            f"{lookup.unknown_message(text, None)}"
        )
    return Trigger(text.strip(), selection=Selection.of(found))


def parse_all(texts: Sequence[str]) -> list[Trigger]:
    """Parse the events of a configuration; KvmlogError, which names the key."""
    try:
        return [parse(text) for text in texts]
    except RecordingError as error:
        raise KvmlogError(f"recorder.freeze_on: {error}") from None


class Lookout:
    """A look at each record of a ring from now on, for the first one that is an event.

    guests: the only guests whose exits are; None: all.
    """

    def __init__(
        self, ring: RingReader, triggers: Sequence[Trigger], guests: GuestView | None = None
    ) -> None:
        self._ring = ring
        self._triggers = tuple(triggers)
        self._guests = guests
        last = ring.snapshot(0)
        self._ring_id, self._next = last.ring_id, last.next_index

    def look(self) -> Event | None:
        """Look at what has come since the last look; return the first event, None: there was none.

        After one it goes on behind all that has come.
        """
        if self._guests is not None:
            self._guests.reload()
        while True:
            announced = self._ring.select_since(ANNOUNCEMENTS, self._next, SLOTS)
            if announced.ring_id != self._ring_id:
                self._ring_id, self._next = announced.ring_id, 0
                continue
            if self._guests is not None:
                self._guests.learn(iter_records(announced.records))
            end = announced.next_index
            found = self._first(end)
            searched = end - announced.first_index
            self._next = max(self._next, end)
            if found is not None:
                self._next = self._ring.snapshot(0).next_index
                return found
            if searched < SLOTS:
                return None

    def skip(self) -> None:
        """Go on behind all that has come."""
        last = self._ring.snapshot(0)
        self._ring_id, self._next = last.ring_id, last.next_index

    def _first(self, end: int) -> Event | None:
        """Return the first event of the records up to `end`."""
        events = []
        for trigger in self._triggers:
            passes = trigger.filter(self._guests)
            found = self._ring.select_since(passes, self._next, 1, end)
            if found.records:
                record = decode_record(found.records)
                assert isinstance(record, Record)
                events.append((record.exit_ns + record.total_ns, Event(trigger.text, record)))
        return min(events, key=lambda one: one[0])[1] if events else None


def describe(ring: RingReader, view: GuestView, event: Event) -> str:
    """Return what happened, in words, with the name of the guest where it is known.

    The ring announces a guest before its file of guests lists it: until then the file may name one
    that had the number before.
    """
    view.reload()
    view.learn(iter_records(ring.select_newest(ANNOUNCEMENTS, _ANNOUNCED_MOST).records))
    label = view.labels.label(event.record)
    return event.text(None if label is None else label.text)


def feed_since(
    ring: RingReader,
    selection: Selection,
    names: GuestList,
    words: tuple[str, ...],
    since_ns: int,
) -> Feed:
    """Return a feed of what the ring has of the time from since_ns on, and of all that comes."""
    chosen = dataclasses.replace(selection, since_ns=since_ns)
    return Feed(ring, chosen, names, words, oldest_index(ring))


def oldest_index(ring: RingReader) -> int:
    """Return the index of the oldest record that the ring still has."""
    last = ring.select_newest(ANNOUNCEMENTS, 0, slots=0)
    return max(0, last.next_index - ring.capacity)


def missing_before_ns(ring: RingReader, since_ns: int) -> int:
    """Return how much of the time from since_ns on the ring has overwritten; 0: nothing."""
    oldest = oldest_index(ring)
    if not oldest:
        return 0
    first = ring.snapshot(1, since=oldest)
    if not first.records:
        return 0
    return max(0, decode_record(first.records).ns - since_ns)


def missing_words(missing_ns: int, since_ns: int, event: Event) -> str:
    """Return the sentence for a ring that was too small for the time before an event."""
    had_ns = max(0, event.record.exit_ns - since_ns - missing_ns)
    return (
        f"the ring has only {units.duration(had_ns)} of the time before; a larger one (kvmlog "
        "bridge --slots) has more"
    )
