# SPDX-License-Identifier: GPL-2.0-or-later
"""A report on the statistics: groups, sorted, with their shares, and exits in no group.

SHARE of a group is its part of the time in exits (from exit to re-entry) of all groups that
were chosen, halts left out unless they are asked for. In a table by guest and something else it
is the part of that guest's time. Groups by return share the time in the VMM instead.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

from kvmlog.exits.decode.gpa import REGIONS
from kvmlog.guests.names import Guest
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.statistics.reader import By, Row, Snapshot, StatisticsGuest
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import SORTS, Query

_REGIONS: Final = [(one.first, one.last, one.each) for one in REGIONS]


class Line(NamedTuple):
    """A group with its guest's label; its share is part_ns / whole_ns, none if whole_ns is 0.

    octaves: its exits by duration (kvmlog.stat.octaves), if the query asks for them.
    """

    row: Row
    guest: str
    part_ns: int
    whole_ns: int
    octaves: tuple[int, ...] = ()


class GuestFigures(NamedTuple):
    """A guest, with its exits in the time that the report covers."""

    label: str
    statistics: StatisticsGuest
    guest: Guest | None
    exits: int


@dataclass(frozen=True)
class Moment:
    """Statistics and ring at one time; lost_records: None if the ring could not be read.

    realtime_ns: until when all that came is counted; age_ns: how long before the sample that was.
    """

    snapshot: Snapshot
    lost_records: int | None
    realtime_ns: int
    age_ns: int
    clocks: Clocks


@dataclass(frozen=True)
class Report:
    """Groups in the order shown, and the account of all exits in that time.

    Without a choice of guests, and but for what was forgotten since the report began:
    exits = count of all groups + overflow + forgotten.
    """

    query: Query
    statistics_id: str
    since_realtime_ns: int
    since_utc_offset_s: int
    until_realtime_ns: int
    until_utc_offset_s: int
    age_ns: int  # from then until the report was made
    lines: list[Line]
    halts: list[Line]
    left_out: int  # groups beyond query.top
    guests: list[GuestFigures]
    shown_exits: int  # of all chosen groups, those left out included
    exits: int
    overflow: int  # exits without a group at all
    overflow_rows: int  # exits that are missing in groups by vCPU, detail or return
    overflow_histogram: int  # exits that are in no percentile
    torn: int  # groups that the bridge left half written
    forgotten: int
    lost_records: int | None


def report(
    now: Moment,
    base: Moment | None,
    names: StatisticsNames,
    query: Query,
    guest_ids: Collection[int] | None = None,
) -> Report:
    """Return the report on exits since `base` (None: since the statistics began).

    guest_ids: ids of the guests that are shown, None for all. Statistics that began anew since
    `base` are shown as if there had been none.
    """
    snapshot = now.snapshot
    if base is not None and _era(base.snapshot) != _era(snapshot):
        base = None
    before = None if base is None else base.snapshot
    since = now.clocks.of(snapshot.since_realtime_ns if base is None else base.realtime_ns)
    until = now.clocks.of(now.realtime_ns)
    regions = () if query.exact else _REGIONS
    found: list[tuple[Row, tuple[int, ...]]]
    if query.octaves:
        found = snapshot.distributions(query.by, before, guest_ids, regions)
    else:
        found = [(row, ()) for row in snapshot.rows(query.by, before, guest_ids, regions)]
    rows = [row for row, _ in found]
    labels = names.labels if By.GUEST in query.by else {}
    whole = _whole(rows, query)
    apart = [] if query.halts else [one for one in found if one[0].halt]
    among = [one for one in found if not one[0].halt] if apart else found
    lines, halts = (_first_lines(part, labels, whole, query) for part in (among, apart))
    lost = now.lost_records
    if lost is not None and base is not None and base.lost_records is not None:
        lost = max(0, lost - base.lost_records)
    return Report(
        query=query,
        statistics_id=snapshot.statistics_id,
        since_realtime_ns=since.realtime_ns,
        since_utc_offset_s=since.utc_offset_s,
        until_realtime_ns=until.realtime_ns,
        until_utc_offset_s=until.utc_offset_s,
        age_ns=now.age_ns,
        lines=lines,
        halts=halts,
        left_out=len(rows) - len(lines) - len(halts),
        guests=_guests(snapshot, before, names, guest_ids),
        shown_exits=sum(row.count for row in rows),
        exits=snapshot.exits - (before.exits if before else 0),
        overflow=snapshot.overflow - (before.overflow if before else 0),
        overflow_rows=snapshot.overflow_rows - (before.overflow_rows if before else 0),
        overflow_histogram=snapshot.overflow_histogram
        - (before.overflow_histogram if before else 0),
        torn=snapshot.torn,
        forgotten=snapshot.forgotten - (before.forgotten if before else 0),
        lost_records=lost,
    )


def _era(snapshot: Snapshot) -> tuple[str, int]:
    """Return a value that changes with each reset."""
    return snapshot.statistics_id, snapshot.since_ns


def _whole(rows: list[Row], query: Query) -> Counter[int]:
    """Return the whole that shares are parts of: by guest, or under 0 that of all."""
    by_return = By.RETURN in query.by
    within_guest = _within_guest(query)
    whole: Counter[int] = Counter()
    for row in rows:
        if query.halts or not row.halt:
            whole[row.guest if within_guest else 0] += _part(row, by_return)
    return whole


def _first_lines(
    found: list[tuple[Row, tuple[int, ...]]],
    labels: dict[int, str],
    whole: Counter[int],
    query: Query,
) -> list[Line]:
    """Return the lines of the first query.top groups in its order."""
    figure = SORTS[query.sort]

    # What stands second makes the order of equals the same each time.
    def order(one: tuple[Row, tuple[int, ...]]) -> tuple[float, str, Row]:
        row, _ = one
        return -figure(row), labels.get(row.guest, ""), row

    if query.top is None:
        first = sorted(found, key=order)
    else:
        first = heapq.nsmallest(query.top, found, key=order)
    by_return, within_guest = By.RETURN in query.by, _within_guest(query)
    return [
        Line(
            row,
            labels.get(row.guest, ""),
            _part(row, by_return),
            whole[row.guest if within_guest else 0] if query.halts or not row.halt else 0,
            octaves,
        )
        for row, octaves in first
    ]


def _within_guest(query: Query) -> bool:
    return By.GUEST in query.by and query.by != By.GUEST


def _part(row: Row, by_return: bool) -> int:
    return row.vmm_ns if by_return else row.total_ns


def _guests(
    snapshot: Snapshot,
    before: Snapshot | None,
    names: StatisticsNames,
    guest_ids: Collection[int] | None,
) -> list[GuestFigures]:
    """Return guests with exits, or those requested, in the order of their ids."""
    found = []
    for one in sorted(snapshot.guests.values()):
        earlier = before.guests.get(one.id) if before else None
        # The slot of a forgotten guest may have been given to another.
        same = earlier is not None and earlier.tgid in (0, one.tgid)
        exits = one.exits - (earlier.exits if earlier and same else 0)
        if exits if guest_ids is None else one.id in guest_ids:
            label = names.labels.get(one.id, "")
            found.append(GuestFigures(label, one, names.guests.get(one.id), exits))
    return found
