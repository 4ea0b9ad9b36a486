# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of the ring: the newest records of a selection, or those from a position on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from kvmlog.exits.search import Search, Selection
from kvmlog.guests.labels import GuestView
from kvmlog.ring.block import Span
from kvmlog.ring.clocks import ClockPair, Clocks
from kvmlog.ring.reader import RingInfo, RingReader, Snapshot
from kvmlog.ring.records import RECORD_BYTES, AnyRecord, decode_record, unpack_records

# A writer at full speed needs several times as long to overwrite what is being copied.
MOST_RECORDS: Final = 65_536
_RING_PART: Final = 4
# How far back one call searches for the newest of a selection, at some 10 ns a record.
SEARCHED_RECORDS: Final = 1_048_576


class Page(NamedTuple):
    """Whole records in the order they came."""

    span: Span
    records: bytes
    clocks: Clocks
    more: bool  # others have come since
    replaced: bool  # the position was in another ring: this page begins with the new ring's first
    decoded: Sequence[AnyRecord]  # the same records, where they were asked for decoded


class Pager:
    """Reads pages of a ring; decoded: pages have their records decoded as well, each once."""

    def __init__(
        self, ring: RingReader, selection: Selection, view: GuestView, *, decoded: bool = False
    ) -> None:
        self._ring = ring
        self._search = Search(ring, selection)
        self._view = view
        self._decoded = decoded
        self.most_records: Final = max(1, min(MOST_RECORDS, ring.capacity // _RING_PART))

    def newest(self, count: int) -> Page:
        """Return the newest `count` of the selection, of those that one call can search."""
        return self._page(self._search.newest(min(count, self.most_records), SEARCHED_RECORDS))

    def since(self, position: tuple[str, int], count: int) -> Page:
        """Return the first `count` of the selection from a position (ring_id, index) on.

        As many records are searched as one reply may have; the page is empty when none matches.
        """
        ring_id, index = position
        limits = (min(count, self.most_records), self.most_records)
        found = self._search.since(index, *limits)
        if found.ring_id == ring_id:
            return self._page(found)
        return self._page(self._search.since(0, *limits))._replace(replaced=True)

    def _page(self, found: Snapshot) -> Page:
        info, clocks = self._ring.info(), self._ring.clocks()
        decoded: list[AnyRecord] = []
        if self._decoded:
            decoded = unpack_records(found.records)
            self._view.learn(decoded)
        span = _span(info, found, _last(found.records, clocks))
        # Of another ring by now: that this one has ended, the next call tells.
        more = found.next_index < info.head or found.ring_id != info.ring_id
        return Page(span, found.records, clocks, more, False, decoded)


def _last(records: bytes, clocks: Clocks) -> ClockPair:
    """Return the clocks that held at the last of the records; of none, those of now."""
    if not records:
        return clocks.pairs[-1]
    return clocks.pair(decode_record(records, len(records) // RECORD_BYTES - 1).ns)


def _span(info: RingInfo, found: Snapshot, pair: ClockPair) -> Span:
    """Return what a reply says of the ring and of the range of its records that were searched."""
    return Span(
        ring_id=found.ring_id,
        first_index=found.first_index,
        next_index=found.next_index,
        written=info.head,
        overwritten=found.overwritten,
        dropped=info.counters["dropped"],
        lost_records=info.lost_records,
        monotonic_ns=info.monotonic_ns,
        realtime_ns=info.monotonic_ns + pair.realtime_offset_ns,
        boottime_ns=info.boottime_ns,
        utc_offset_s=pair.utc_offset_s,
    )
