# SPDX-License-Identifier: GPL-2.0-or-later
"""The exits of each VM over an interval, from the statistics of exits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from kvmlog.control.client import SwitchClient
from kvmlog.exits.reasons import names
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsReader
from kvmlog.stat.query import Query
from kvmlog.stat.report import GuestFigures, Line, Moment, Report
from kvmlog.stat.sampler import Sampler
from kvmlog.stat.words import lacks_reason
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import (
    KvmlogError,
    StatisticsError,
    StatisticsMissingError,
    SwitchError,
)
from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats.sample import Sample

BY_TIME: Final = Query()


@dataclass(frozen=True)
class ExitFigures:
    """Exits of one VM over an interval.

    reason: that which took most time, halts only where there is no other; None: there was no exit,
    or this KVM tells no reasons. share: its part of the time in exits, halts left out.
    """

    over_s: float
    count: int
    reason: str | None
    reason_count: int | None
    reason_ns: int | None
    share: float | None


class VmExits:
    """A report's exits by VM.

    complete: the exits of all guests are counted, so that a guest without any has none. problem: a
    sentence where they cannot be read.
    """

    def __init__(self, report: Report | None, complete: bool, problem: str | None = None) -> None:
        self.problem = problem
        self._report = report
        self._complete = complete

    @property
    def over_s(self) -> float | None:
        """Return the length of the interval; None where exits are not counted."""
        if self._report is None:
            return None
        span_ns = self._report.until_realtime_ns - self._report.since_realtime_ns
        return span_ns / NS_PER_S if span_ns > 0 else None

    def of(self, sample: Sample, *, local: bool) -> ExitFigures | None:
        """Return a VM's exits; None where they are not known.

        local: it runs on the host that exits are counted on.
        """
        over_s = self.over_s
        if self._report is None or over_s is None or not (local and sample.active):
            return None
        guests = [one for one in self._report.guests if _is(one, sample)]
        count = sum(one.exits for one in guests)
        if not count and not (self._complete and sample.pid is not None):
            return None
        ids = {one.statistics.id for one in guests}
        line = _first(self._report.lines, ids) or _first(self._report.halts, ids)
        if line is None or lacks_reason(line.row):
            return ExitFigures(over_s, count, None, None, None, None)
        row = line.row
        share = line.part_ns / line.whole_ns if line.whole_ns else None
        reason = names.reason_name(row.isa, row.reason)
        return ExitFigures(over_s, count, reason, row.count, row.total_ns, share)


def _is(figures: GuestFigures, sample: Sample) -> bool:
    """Return whether a guest of the statistics is this VM: by its process, else by its UUID."""
    guest = figures.guest
    if guest is not None and guest.ended_realtime_ns is not None:
        return False
    if sample.pid is not None:
        return figures.statistics.tgid == sample.pid
    return guest is not None and guest.uuid == sample.uuid


def _first(lines: Collection[Line], guests: Collection[int]) -> Line | None:
    own = (line for line in lines if line.row.guest in guests)
    return max(own, key=lambda line: (line.row.total_ns, line.row.count), default=None)


class ExitMeter(Closeable):
    """The statistics of this host's bridge, from one measurement to the next."""

    def __init__(self, ring: str, switch: str) -> None:
        self._ring = ring
        self._switch = SwitchClient(switch)
        self._problem: str | None = None
        self._reader: StatisticsReader | None = None
        self._sampler: Sampler | None = None
        self._base: Moment | None = None

    def close(self) -> None:
        """Close the statistics."""
        if self._reader is not None:
            self._reader.close()
            self._reader = self._sampler = None

    def begin(self) -> bool:
        """Begin to measure; return whether exits are counted at all."""
        self._base = self._now()
        return self._base is not None

    def measured(self) -> VmExits:
        """Return the exits since begin(), or since the last call, and go on from here."""
        base, self._base = self._base, self._now()
        if base is None or self._base is None or self._sampler is None:
            return VmExits(None, complete=False, problem=self._problem)
        return VmExits(self._sampler.since(base, self._base), self._all_guests())

    def _now(self) -> Moment | None:
        """Return a sample; None where nobody counts now, or what was counted cannot be read."""
        self._problem = None
        try:
            if self._sampler is None:
                self._reader = StatisticsReader(self._ring + SUFFIX)
                self._sampler = Sampler(
                    self._reader, self._ring, self._switch.path, BY_TIME, (), self._note
                )
            return self._sampler.now() if self._sampler.counts() else None
        except StatisticsMissingError:
            return None
        except StatisticsError as error:
            self._note(not_known(error))
            return None

    def _note(self, sentence: str) -> None:
        self._problem = sentence

    def _all_guests(self) -> bool:
        """Return whether exits of all guests are recorded, as far as the bridge says so."""
        try:
            status = self._switch.status()
        except SwitchError:
            return False
        return is_complete(status)


def not_known(error: KvmlogError) -> str:
    """Return the sentence for exits that cannot be read."""
    return f"exits are not known: {error}"


def is_complete(status: dict[str, object]) -> bool:
    """Return whether a bridge with this status traces all guests."""
    return status.get("wanted") == "on" and not status.get("filter")
