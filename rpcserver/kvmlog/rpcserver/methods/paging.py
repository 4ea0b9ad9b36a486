# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of the ring: the newest records of a selection, or those from a position on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from kvmlog.exits.selection import Selection
from kvmlog.guests.view import GuestView
from kvmlog.ring.block import Span
from kvmlog.ring.clocks import ClockPair, Clocks
from kvmlog.ring.reader import RingInfo, RingReader, Snapshot
from kvmlog.ring.records import RECORD_BYTES, AnyRecord, decode_record, unpack_records

# A writer at full speed needs several times as long to overwrite what is being copied.
MOST_RECORDS: Final = 65_536
_RING_PART: Final = 4
# How far back a selection is searched: its records are decoded, which takes about a second.
_SEARCHED_RECORDS: Final = 262_144
# Records are decoded in pieces, for decoded they take four times the memory; one piece of one call
# at a time, since all calls share the interpreter anyway.
_PIECE: Final = 16_384
_decoding: Final = threading.Lock()


class _Match(NamedTuple):
    """A record of the selection."""

    at: int  # its index in the ring
    record: bytes
    decoded: AnyRecord | None


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
        self._selection = selection
        self._view = view
        self._decoded = decoded
        self.most_records: Final = max(1, min(MOST_RECORDS, ring.capacity // _RING_PART))

    def newest(self, count: int) -> Page:
        """Return the newest `count` of the selection, of those that one call can search."""
        count = min(count, self.most_records)
        size = min(count, _PIECE)
        piece = self._ring.snapshot(count=count if self._selection.all else size)
        if self._selection.all:
            return self._whole_page(piece)
        ring_id = piece.ring_id
        end = first = piece.next_index
        least = max(0, end - _SEARCHED_RECORDS)
        found: list[_Match] = []
        # Backwards, until older records have been overwritten, or the ring replaced.
        while piece.ring_id == ring_id and piece.first_index < first:
            found[:0] = self._matches(piece, first)
            first = piece.first_index
            if len(found) >= count or first <= least:
                break
            size = min(8 * size, _PIECE, first - least)
            piece = self._ring.snapshot(count=size, since=first - size)
        if len(found) > count:
            found = found[-count:]
            first = found[0].at
        return self._page(ring_id, found, (first, end))

    def since(self, position: tuple[str, int], count: int) -> Page:
        """Return the first `count` of the selection from a position (ring_id, index) on.

        As many records are searched as one reply may have; the page is empty when none matches.
        """
        ring_id, index = position
        count = min(count, self.most_records)
        size = count if self._selection.all else min(self.most_records, _PIECE)
        piece = self._ring.snapshot(count=size, since=index)
        replaced = piece.ring_id != ring_id
        if replaced:
            piece = self._ring.snapshot(count=size, since=0)
            ring_id = piece.ring_id
        if self._selection.all:
            return self._whole_page(piece, piece.overwritten)._replace(replaced=replaced)
        first, overwritten = piece.first_index, piece.overwritten
        found: list[_Match] = []
        while True:
            found += self._matches(piece, piece.next_index)
            after = piece.next_index
            done = after - first >= self.most_records or after == piece.first_index
            if len(found) > count or done:
                break
            size = min(_PIECE, first + self.most_records - after)
            piece = self._ring.snapshot(count=size, since=after)
            if piece.ring_id != ring_id or piece.overwritten:
                break  # the next page begins there, and reports it
        # With one match too many, the page ends before it.
        if len(found) > count:
            after = found[count].at
        page = self._page(ring_id, found[:count], (first, after), overwritten)
        return page._replace(replaced=replaced)

    def _matches(self, piece: Snapshot, end: int) -> list[_Match]:
        """Return those of its records before the index `end` that the selection shows."""
        size = RECORD_BYTES
        with _decoding:
            records = unpack_records(memoryview(piece.records)[: (end - piece.first_index) * size])
            self._view.learn(records)
            shown = [n for n, record in enumerate(records) if self._selection.shows(record)]
            return [
                _Match(
                    piece.first_index + n,
                    piece.records[n * size : (n + 1) * size],
                    records[n] if self._decoded else None,
                )
                for n in shown
            ]

    def _whole_page(self, piece: Snapshot, overwritten: int = 0) -> Page:
        """Return a page of all the records of a snapshot."""
        decoded: list[AnyRecord] = []
        if self._decoded:
            decoded = unpack_records(piece.records)
            self._view.learn(decoded)
        info = self._ring.info()
        clocks = self._ring.clocks()
        indices = (piece.first_index, piece.next_index)
        span = _span(info, piece.ring_id, indices, overwritten, _last(piece.records, clocks))
        return Page(span, piece.records, clocks, piece.next_index < info.head, False, decoded)

    def _page(
        self, ring_id: str, found: list[_Match], indices: tuple[int, int], overwritten: int = 0
    ) -> Page:
        info = self._ring.info()
        clocks = self._ring.clocks()
        records = b"".join(one.record for one in found)
        decoded = [one.decoded for one in found if one.decoded is not None]
        # In their order: pieces may have been read backwards, and later names replace earlier ones.
        self._view.learn(decoded)
        return Page(
            _span(info, ring_id, indices, overwritten, _last(records, clocks)),
            records,
            clocks,
            indices[1] < info.head,
            False,
            decoded,
        )


def _last(records: bytes, clocks: Clocks) -> ClockPair:
    """Return the clocks that held at the last of the records; of none, those of now."""
    if not records:
        return clocks.pairs[-1]
    return clocks.pair(decode_record(records, len(records) // RECORD_BYTES - 1).ns)


def _span(
    info: RingInfo, ring_id: str, indices: tuple[int, int], overwritten: int, pair: ClockPair
) -> Span:
    """Return what a reply says of the ring and of the range (first, next) of its records."""
    return Span(
        ring_id=ring_id,
        first_index=indices[0],
        next_index=indices[1],
        written=info.head,
        overwritten=overwritten,
        dropped=info.counters["dropped"],
        lost_records=info.lost_records,
        monotonic_ns=info.monotonic_ns,
        realtime_ns=info.monotonic_ns + pair.realtime_offset_ns,
        boottime_ns=info.boottime_ns,
        utc_offset_s=pair.utc_offset_s,
    )
