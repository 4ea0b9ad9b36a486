# SPDX-License-Identifier: GPL-2.0-or-later
"""Selections of records, and searches of a ring for them: the newest, or from a position on.

Records are filtered where they stand, in C (bridge/native/ring/select.c), some ten thousand in a
call; only what is shown is copied and decoded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from kvmlog.exits.reasons.lookup import KVM, Reason
from kvmlog.exits.reasons.names import basic_reason
from kvmlog.guests.labels import GuestView
from kvmlog.native import lib
from kvmlog.ring.filter import ANNOUNCEMENTS, SLOTS, Filter, passing
from kvmlog.ring.reader import RingReader, Snapshot
from kvmlog.ring.records import (
    RECORD_BYTES,
    AnyRecord,
    Record,
    decode_record,
    enum_names,
    iter_records,
)

# As many as the largest ring has.
_ALL: Final[int] = lib.KVMLOG_RING_MAX_SLOTS
_ISAS: Final = {name: n for n, name in enum_names("kvmlog_isa", "KVMLOG_ISA_").items()}


@dataclass(frozen=True)
class Selection:
    """Criteria; empty, 0 and None select all.

    reasons: (enum kvmlog_isa, basic reason); returns: KVM_EXIT_*; guests: those selected; since_ns:
    the least time of a record of any type (CLOCK_MONOTONIC).
    """

    reasons: frozenset[tuple[int, int]] = frozenset()
    returns: frozenset[int] = frozenset()
    slower_than_ns: int = 0
    guests: GuestView | None = None
    since_ns: int = 0

    @classmethod
    def of(
        cls, reasons: Iterable[Reason], slower_than_ns: int = 0, guests: GuestView | None = None
    ) -> Selection:
        """Make a selection of exits with these reasons, which may include KVM_EXIT_*."""
        found = list(reasons)
        return cls(
            frozenset((_ISAS[r.isa], r.number) for r in found if r.isa != KVM),
            frozenset(r.number for r in found if r.isa == KVM),
            slower_than_ns,
            guests,
        )

    def filter(self) -> Filter:
        """Return the same for the native search, with the guests as they are known now.

        It passes all announcements of guests: which of them are shown, shows() says.
        """
        return Filter(
            reasons=self.reasons,
            returns=self.returns,
            total_ns=self.slower_than_ns,
            since_ns=self.since_ns,
            guests=None if self.guests is None else self.guests.times(),
        )

    def passed(self, records: bytes) -> bytes:
        """Return those of some whole records, in any memory, that are shown."""
        if self.guests is not None:
            self.guests.learn(iter_records(passing(records, ANNOUNCEMENTS)))
        return self.without_others(passing(records, self.filter()))

    def without_others(self, records: bytes) -> bytes:
        """Leave out announcements of other guests, which the filter passes."""
        guests, size = self.guests, RECORD_BYTES
        if guests is None or lib.KVMLOG_RECORD_GUEST not in records[::size]:
            return records
        return b"".join(
            records[n * size : (n + 1) * size]
            for n in range(_count(records))
            if guests.shows(decode_record(records, n))
        )

    def shows(self, record: AnyRecord) -> bool:
        """Return whether to show a record: exits as selected, losses and switches always."""
        if record.ns < self.since_ns:
            return False
        if self.guests is not None and not self.guests.shows(record):
            return False
        if not isinstance(record, Record):
            return True
        if record.total_ns < self.slower_than_ns:
            return False
        if not self.reasons and not self.returns:
            return True
        returned = bool(record.flags & lib.KVMLOG_F_USER_REASON)
        return (record.isa, basic_reason(record.isa, record.reason)) in self.reasons or (
            returned and record.user_reason in self.returns
        )


class Search:
    """Searches of one ring; the selection's guests learn the announcements that are met."""

    def __init__(self, ring: RingReader, selection: Selection) -> None:
        self._ring = ring
        self._selection = selection

    def newest(self, count: int, slots: int = _ALL) -> Snapshot:
        """Return the newest `count` that are shown, of the newest `slots` records."""
        last = self._ring.select_newest(ANNOUNCEMENTS, 0, slots=0)
        if self._selection.guests is not None:
            # An exit is met before its guest's announcement, which is older.
            announced = self._backwards(last, ANNOUNCEMENTS, _ALL, slots, bytes)
            self._selection.guests.learn(iter_records(announced.records))
        return self._backwards(last, self._selection.filter(), count, slots, self._shown)

    def since(self, index: int, count: int = _ALL, slots: int = _ALL) -> Snapshot:
        """Return the first `count` that are shown from an index on, of at most `slots` records.

        After a replacement they are the new ring's (RingReader.snapshot).
        """
        first = self._piece(index, count, slots)
        parts, shown, after = [first.records], _count(first.records), first.next_index
        while shown < count and after - first.first_index < slots:
            piece = self._piece(after, count - shown, first.first_index + slots - after)
            # What was overwritten or replaced meanwhile, the next search reports.
            if piece.ring_id != first.ring_id or piece.overwritten or piece.next_index == after:
                break
            parts.append(piece.records)
            shown += _count(piece.records)
            after = piece.next_index
        return dataclasses.replace(first, next_index=after, records=b"".join(parts))

    def _backwards(
        self,
        last: Snapshot,
        passes: Filter,
        count: int,
        slots: int,
        keep: Callable[[bytes], bytes],
    ) -> Snapshot:
        """Return the newest `count` that pass and are kept, of `slots` records up to last's end."""
        first = last.next_index
        least = max(0, first - slots)
        parts: list[bytes] = []
        found = 0
        while found < count and first > least:
            part = min(SLOTS, first - least)
            piece = self._ring.select_newest(passes, count - found, first, part)
            # All older ones were overwritten, or the ring was replaced.
            if piece.ring_id != last.ring_id or piece.first_index == piece.next_index:
                break
            parts.append(keep(piece.records))
            found += _count(parts[-1])
            first = piece.first_index
        return dataclasses.replace(last, first_index=first, records=b"".join(reversed(parts)))

    def _piece(self, index: int, count: int, slots: int) -> Snapshot:
        """Return what one search in C finds, the announcements among the same records known."""
        slots = min(slots, SLOTS)
        end = None
        if self._selection.guests is not None:
            announced = self._ring.select_since(ANNOUNCEMENTS, index, slots, slots=slots)
            self._selection.guests.learn(iter_records(announced.records))
            end = announced.next_index
        found = self._ring.select_since(self._selection.filter(), index, count, end, slots)
        return dataclasses.replace(found, records=self._shown(found.records))

    def _shown(self, records: bytes) -> bytes:
        return self._selection.without_others(records)


def _count(records: bytes) -> int:
    return len(records) // RECORD_BYTES
