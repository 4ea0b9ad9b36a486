# SPDX-License-Identifier: GPL-2.0-or-later
"""A report on the statistics: groups, sorted, with their shares, and exits in no group.

SHARE of a group is its part of the time in exits (from exit to re-entry) of all groups that
were chosen, halts left out unless they are asked for. In a table by guest and something else it
is the part of that guest's time. Groups by return share the time in the VMM instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from kvmlog.guests.names import Guest
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.statistics.reader import By, Row, Snapshot, StatisticsGuest
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import SORTS, Query


class Line(NamedTuple):
    """A group with its guest's label; its share is part_ns / whole_ns, none if whole_ns is 0."""

    row: Row
    guest: str
    part_ns: int
    whole_ns: int


class GuestFigures(NamedTuple):
    """A guest, with its exits in the time that the report covers."""

    label: str
    statistics: StatisticsGuest
    guest: Guest | None
    exits: int


@dataclass(frozen=True)
class Moment:
    """Statistics and ring at one time; lost_records: None if the ring could not be read."""

    snapshot: Snapshot
    lost_records: int | None
    realtime_ns: int
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
    rows = snapshot.rows(query.by, before, guest_ids)
    labels = names.labels if By.GUEST in query.by else {}
    lines = _lines(rows, labels, query)
    shown = [line for line in lines if query.halts or not line.row.halt]
    halts = [line for line in lines if not query.halts and line.row.halt]
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
        lines=shown[: query.top],
        halts=halts[: query.top],
        left_out=len(lines) - len(shown[: query.top]) - len(halts[: query.top]),
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


def _lines(rows: list[Row], labels: dict[int, str], query: Query) -> list[Line]:
    within_guest = By.GUEST in query.by and query.by != By.GUEST
    by_return = By.RETURN in query.by
    whole: Counter[int] = Counter()
    for row in rows:
        if query.halts or not row.halt:
            whole[row.guest if within_guest else 0] += _part(row, by_return)
    lines = [
        Line(
            row,
            labels.get(row.guest, ""),
            _part(row, by_return),
            whole[row.guest if within_guest else 0] if query.halts or not row.halt else 0,
        )
        for row in rows
    ]
    figure = SORTS[query.sort]
    # What stands second makes the order of equals the same each time.
    return sorted(lines, key=lambda line: (-figure(line.row), line.guest, line.row))


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
