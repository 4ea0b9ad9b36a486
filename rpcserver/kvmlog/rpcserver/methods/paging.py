# SPDX-License-Identifier: GPL-2.0-or-later
"""A page of the ring's records: the newest, or those since a position, that a selection shows."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from kvmlog.exits.selection import Selection
from kvmlog.guests.view import GuestView
from kvmlog.ring.block import Span
from kvmlog.ring.reader import RingInfo, RingReader, Snapshot
from kvmlog.ring.records import RECORD_BYTES, unpack_records

# A writer in full swing needs several times as long to overwrite what is being copied.
MOST_RECORDS: Final = 65_536
_RING_PART: Final = 4
# How far back a selection is looked for: records are decoded for it, about a second for so many.
_LOOK_BACK: Final = 262_144
# So many at a time: decoded they take four times the room. One piece of one call at a time, for all
# calls share the interpreter anyway.
_PIECE: Final = 16_384
_one_at_a_time: Final = threading.Lock()


class _Found(NamedTuple):
    """A record that is wanted."""

    at: int  # its index in the ring
    record: bytes


class Page(NamedTuple):
    """Whole records in the order they came; more: others have come since."""

    span: Span
    records: bytes
    more: bool
    replaced: bool  # the position was one of another ring: this begins with the first of the new


def most_records(ring: RingReader) -> int:
    """Of a reply."""
    return max(1, min(MOST_RECORDS, ring.capacity // _RING_PART))


def newest(ring: RingReader, count: int, wanted: Selection, view: GuestView) -> Page:
    """The newest `count` that are wanted, of those that can be looked at in one call."""
    count = min(count, most_records(ring))
    size = min(count, _PIECE)
    piece = ring.snapshot(count=count if wanted.all else size)
    if wanted.all:
        return _page(ring, piece.ring_id, piece.records, (piece.first_index, piece.next_index))
    ring_id = piece.ring_id
    end = first = piece.next_index
    least = max(0, end - _LOOK_BACK)
    found: list[_Found] = []
    # Backwards, until what is before has been overwritten, or the ring replaced.
    while piece.ring_id == ring_id and piece.first_index < first:
        found[:0] = _chosen(piece, first, wanted, view)
        first = piece.first_index
        if len(found) >= count or first <= least:
            break
        size = min(8 * size, _PIECE, first - least)
        piece = ring.snapshot(count=size, since=first - size)
    if len(found) > count:
        found = found[-count:]
        first = found[0].at
    return _page(ring, ring_id, _bytes(found), (first, end))


def since(
    ring: RingReader, at: tuple[str, int], count: int, wanted: Selection, view: GuestView
) -> Page:
    """The first `count` that are wanted from a position (ring_id, index) on.

    Of those that one reply may have; where none of these is wanted, none.
    """
    ring_id, index = at
    most = most_records(ring)
    count = min(count, most)
    size = count if wanted.all else min(most, _PIECE)
    piece = ring.snapshot(count=size, since=index)
    replaced = piece.ring_id != ring_id
    if replaced:
        piece = ring.snapshot(count=size, since=0)
        ring_id = piece.ring_id
    first, after, overwritten = piece.first_index, piece.next_index, piece.overwritten
    if wanted.all:
        page = _page(ring, ring_id, piece.records, (first, after), overwritten)
        return page._replace(replaced=replaced)
    found: list[_Found] = []
    while True:
        found += _chosen(piece, piece.next_index, wanted, view)
        after = piece.next_index
        if len(found) > count or after - first >= most or after == piece.first_index:
            break
        piece = ring.snapshot(count=min(_PIECE, first + most - after), since=after)
        if piece.ring_id != ring_id or piece.overwritten:
            break  # the next page begins there, and tells it
    # What was looked at ends with the last one taken, where there was one too many.
    if len(found) > count:
        after = found[count].at
    page = _page(ring, ring_id, _bytes(found[:count]), (first, after), overwritten)
    return page._replace(replaced=replaced)


def _chosen(piece: Snapshot, end: int, wanted: Selection, view: GuestView) -> list[_Found]:
    """Which of its records before the index `end` are wanted."""
    size = RECORD_BYTES
    with _one_at_a_time:
        records = unpack_records(memoryview(piece.records)[: (end - piece.first_index) * size])
        view.learn(records)
        shown = [number for number, record in enumerate(records) if wanted.shows(record)]
    return [
        _Found(piece.first_index + number, piece.records[number * size : (number + 1) * size])
        for number in shown
    ]


def _bytes(found: list[_Found]) -> bytes:
    return b"".join(one.record for one in found)


def _page(
    ring: RingReader,
    ring_id: str,
    records: bytes,
    indices: tuple[int, int],
    overwritten: int = 0,
) -> Page:
    info = ring.info()
    span = span_of(info, ring_id, indices, overwritten)
    return Page(span, records, indices[1] < info.head, False)


def span_of(info: RingInfo, ring_id: str, indices: tuple[int, int], overwritten: int = 0) -> Span:
    """What a reply says of the ring and of its records."""
    return Span(
        ring_id=ring_id,
        first_index=indices[0],
        next_index=indices[1],
        written=info.head,
        overwritten=overwritten,
        dropped=info.counters["dropped"],
        lost_records=info.lost_records,
        monotonic_ns=info.monotonic_ns,
        realtime_ns=info.realtime_ns,
        boottime_ns=info.boottime_ns,
        utc_offset_s=info.utc_offset_s,
    )
