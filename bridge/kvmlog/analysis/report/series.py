# SPDX-License-Identifier: GPL-2.0-or-later
"""The second reading of a recording: what is drawn over time, and the exits around the longest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kvmlog.analysis.report import durations
from kvmlog.analysis.report.codes import Codes
from kvmlog.analysis.report.columns import (
    EXIT,
    RECORD,
    Array,
    ends_ns,
    exits_of,
    halts,
    records_of,
    vmm_percent,
)
from kvmlog.analysis.report.scan import Scan
from kvmlog.analysis.report.thinning import Thinning
from kvmlog.analysis.report.tracks import Tracks
from kvmlog.exits.reasons.names import basic_reason
from kvmlog.ring.records import Record, decode_record

# Columns of the heat map, and rows of the table beside it.
HEAT_COLUMNS: Final = 120
INTERVALS: Final = 20
# Guests with a heat map of their own: those with the most exits.
HEAT_GUESTS: Final = 12
# Exits shown before an outlier and after it.
AROUND: Final = 5


@dataclass
class Series:
    """What the second reading found.

    heat: exits without halts by guest (as in heat_guests, after all together), column, bucket of
    handling time; columns and intervals divide the length of the recording equally.
    fine: the same by interval and fine bucket; longest: of each interval, ns, without halts.
    counts: all exits by interval, halts included.
    around: for each outlier the exits of its vCPU before and after it, itself included, by time.
    """

    tracks: Tracks
    thinning: Thinning
    heat_guests: list[str] = field(default_factory=list)
    heat: Array = field(
        default_factory=lambda: np.zeros((1, HEAT_COLUMNS, durations.COARSE_BUCKETS), dtype="i8")
    )
    fine: Array = field(
        default_factory=lambda: np.zeros((INTERVALS, durations.FINE_BUCKETS), dtype="i8")
    )
    counts: Array = field(default_factory=lambda: np.zeros(INTERVALS, dtype="i8"))
    longest: Array = field(default_factory=lambda: np.zeros(INTERVALS, dtype="u8"))
    around: list[list[Record]] = field(default_factory=list)


def read(
    blocks: Iterable[bytes], found: Scan, codes: Codes, tracks: Tracks, guests: list[str]
) -> Series:
    """Read all blocks a second time; guests: those with heat maps of their own, by label."""
    outliers = [_Surroundings(record) for record in found.outliers]
    windows = [(one.exit_ns, one.exit_ns + one.total_ns) for one in found.outliers]
    series = Series(tracks, Thinning(found, windows), guests[:HEAT_GUESTS])
    shape = (1 + len(series.heat_guests), HEAT_COLUMNS, durations.COARSE_BUCKETS)
    series.heat = np.zeros(shape, dtype="i8")
    length = max(1, found.length_ns)
    for block in blocks:
        raw = exits_of(records_of(block))
        if not len(raw):
            continue
        exits = _exits(raw, codes, tracks)
        series.thinning.add(exits)
        since = (exits["exit_ns"] - np.uint64(found.begun_ns)).astype("f8") / length
        _count(series, exits, since)
        for one in outliers:
            one.take(raw)
    series.around = [one.records() for one in outliers]
    return series


def _exits(raw: Array, codes: Codes, tracks: Tracks) -> Array:
    exits = np.zeros(len(raw), dtype=EXIT)
    for name in ("exit_ns", "cpu"):
        exits[name] = raw[name]
    exits["total_ns"] = ends_ns(raw) - raw["exit_ns"]
    exits["code"], exits["track"] = codes.of(raw), tracks.of(raw)
    exits["vmm"], exits["halt"] = vmm_percent(raw), halts(raw)
    return exits


def _count(series: Series, exits: Array, since: Array) -> None:
    intervals = np.minimum((since * INTERVALS).astype("i8"), INTERVALS - 1)
    series.counts += np.bincount(intervals, minlength=INTERVALS)
    worked = exits["halt"] == 0
    exits, since, intervals = exits[worked], since[worked], intervals[worked]
    at = intervals * durations.FINE_BUCKETS + durations.fine(exits["total_ns"])
    series.fine += _counts(at, series.fine.shape)
    np.maximum.at(series.longest, intervals, exits["total_ns"])
    columns = np.minimum((since * HEAT_COLUMNS).astype("i8"), HEAT_COLUMNS - 1)
    cells = columns * durations.COARSE_BUCKETS + durations.coarse(exits["total_ns"])
    series.heat[0] += _counts(cells, series.heat[0].shape)
    own = {name: number for number, name in enumerate(series.heat_guests, 1)}
    guests = np.array([own.get(track.guest, 0) for track in series.tracks.tracks], dtype="i8")
    of = guests[exits["track"]]
    for number in own.values():
        series.heat[number] += _counts(cells[of == number], series.heat[number].shape)


def _counts(at: Array, shape: tuple[int, ...]) -> Array:
    size = int(np.prod(shape))
    return np.bincount(at, minlength=size).reshape(shape)


class _Surroundings:
    """Keeps the exits of an outlier's vCPU that are nearest to it in time."""

    def __init__(self, outlier: Record) -> None:
        self._outlier = outlier
        self._near: Array | None = None

    def take(self, raw: Array) -> None:
        """Look at a block."""
        own = raw[(raw["guest"] == self._outlier.guest) & (raw["vcpu"] == self._outlier.vcpu)]
        if not len(own):
            return
        if self._near is not None:
            # np.concatenate would make records of another size.
            joined = np.zeros(len(self._near) + len(own), dtype=RECORD)
            joined[: len(self._near)], joined[len(self._near) :] = self._near, own
            own = joined
        own = own[np.argsort(own["exit_ns"], kind="stable")]
        at = int(np.searchsorted(own["exit_ns"], self._outlier.exit_ns))
        self._near = own[max(0, at - AROUND) : at + AROUND + 1].copy()

    def records(self) -> list[Record]:
        """Return them by time."""
        if self._near is None:
            return [self._outlier]
        raw = self._near.tobytes()
        found = [decode_record(raw, at) for at in range(len(self._near))]
        return [one for one in found if isinstance(one, Record)]


def is_same(one: Record, other: Record) -> bool:
    """Return whether two records are of the same exit."""
    return (
        one.exit_ns == other.exit_ns
        and one.total_ns == other.total_ns
        and one.guest == other.guest
        and one.vcpu == other.vcpu
        and basic_reason(one.isa, one.reason) == basic_reason(other.isa, other.reason)
    )
