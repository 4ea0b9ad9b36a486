# SPDX-License-Identifier: GPL-2.0-or-later
"""A page of the ring's records: the newest, or those since a position, that a selection shows."""

from __future__ import annotations

from typing import Final, NamedTuple

from kvmlog.bridge import wire
from kvmlog.bridge.ring import RingInfo, RingReader, Snapshot
from kvmlog.exits.guest_view import GuestView
from kvmlog.exits.selection import Selection
from kvmlog.rpcserver.block import Span

# A writer in full swing needs several times as long to overwrite what is being copied.
MOST_RECORDS: Final = 65_536
_RING_PART: Final = 4
# How far back a selection is looked for: records are decoded for it, about a second for so many.
_LOOK_BACK: Final = 262_144


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
    looked_at = count
    while True:
        snapshot = ring.snapshot(count=looked_at)
        chosen = _chosen(snapshot, wanted, view)
        held = len(snapshot.records) // wire.RECORD_BYTES
        if wanted.all or len(chosen) >= count or held < looked_at or looked_at >= _LOOK_BACK:
            break
        looked_at = min(8 * looked_at, _LOOK_BACK)
    first = snapshot.first_index + (chosen[-count] if len(chosen) > count else 0)
    return _page(ring, snapshot, chosen[-count:], (first, snapshot.next_index), 0)


def since(
    ring: RingReader, at: tuple[str, int], count: int, wanted: Selection, view: GuestView
) -> Page:
    """The first `count` that are wanted from a position (ring_id, index) on.

    Of those that one reply may have; where none of these is wanted, none.
    """
    ring_id, index = at
    most = most_records(ring)
    count = min(count, most)
    snapshot = ring.snapshot(count=count if wanted.all else most, since=index)
    replaced = snapshot.ring_id != ring_id
    if replaced:
        snapshot = ring.snapshot(count=count if wanted.all else most, since=0)
    chosen = _chosen(snapshot, wanted, view)
    # What was looked at ends with the last one taken, where there was one too many.
    after = snapshot.next_index
    if len(chosen) > count:
        after = snapshot.first_index + chosen[count]
    span = (snapshot.first_index, after)
    return _page(ring, snapshot, chosen[:count], span, snapshot.overwritten)._replace(
        replaced=replaced
    )


def _chosen(snapshot: Snapshot, wanted: Selection, view: GuestView) -> range | list[int]:
    """Which of its records are wanted, counted from its first."""
    if wanted.all:
        return range(len(snapshot.records) // wire.RECORD_BYTES)
    found = wire.unpack(snapshot.records)
    view.learn(found)
    return [number for number, record in enumerate(found) if wanted.shows(record)]


def _page(
    ring: RingReader,
    snapshot: Snapshot,
    chosen: range | list[int],
    indices: tuple[int, int],
    overwritten: int,
) -> Page:
    size = wire.RECORD_BYTES
    raw = snapshot.records
    if isinstance(chosen, range):
        records = raw[chosen.start * size : chosen.stop * size]
    else:
        records = b"".join(raw[number * size : (number + 1) * size] for number in chosen)
    info = ring.info()
    span = span_of(info, snapshot.ring_id, indices, overwritten)
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
