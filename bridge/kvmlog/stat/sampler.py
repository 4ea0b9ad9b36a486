# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples of statistics and ring, and the reports made of two of them.

The bridge writes what it has counted once a second, and at once when it is asked to: a sample that
ends an interval asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import describe_sampling
from kvmlog.guests.names import GuestNames
from kvmlog.ring.reader import RingInfo, RingReader, host_clocks
from kvmlog.ring.statistics.reader import FOLD_S, LATE_NS, Snapshot, StatisticsReader
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from kvmlog.stat.report import Moment, Report, report
from kvmlog.util.errors import IntervalError, RingError, RingMissingError, SwitchError

# The most that an exit takes from the CPU into the statistics.
_SETTLE_S: Final = 5.0
# How long a table waits for the bridge's answer.
_ASK_S: Final = 1.0
# An interval has to be so many times as long as what may be counted in the next one.
_TIMES_LATE: Final = 4


class Sampler:
    """A sampler of a ring's statistics.

    switch: the bridge's local socket; words: the guests requested, empty: all; warn: receives
    warnings, a sentence each; snapshot: makes the copies, None: the reader does.
    """

    def __init__(
        self,
        reader: StatisticsReader,
        ring: str,
        switch: str,
        query: Query,
        words: Sequence[str],
        warn: Callable[[str], None],
        snapshot: Callable[[], Snapshot] | None = None,
    ) -> None:
        self._reader = reader
        self._ring = ring
        self._switch = SwitchClient(switch, _ASK_S)
        self._query = query
        self._words = words
        self._warn = warn
        self._snapshot = snapshot or reader.snapshot
        self._names = StatisticsNames(GuestNames(ring))

    def last(self) -> Moment:
        """Return a sample of what the bridge wrote last, at once."""
        info = self._info()
        snapshot, clocks = self._snapshot(), host_clocks(self._ring)
        until_ns = clocks.at(snapshot.folded_ns).realtime_ns
        age_ns = time.monotonic_ns() - snapshot.folded_ns
        if info is not None and not info.writer_alive:
            # Perhaps of an earlier boot, whose CLOCK_MONOTONIC was another.
            age_ns = time.time_ns() - until_ns
        lost_records = None if info is None else info.lost_records
        return Moment(snapshot, lost_records, until_ns, max(0, age_ns), clocks)

    def now(self) -> Moment:
        """Return a sample of all that has come to the bridge until now, if there is one."""
        self._catch_up(time.monotonic_ns())
        return self.last()

    def settled(self) -> Moment:
        """Return a sample of all exits until now, if there is a bridge: wait for those under way.

        Warn when it does not count them.
        """
        if not self._catch_up(time.monotonic_ns() + LATE_NS):
            self._warn(
                f"the newest exits may be missing: the bridge did not count for {_SETTLE_S:g} s; "
                "look at its log"
            )
        return self.last()

    def require(self, interval_s: float) -> None:
        """Raise IntervalError, with the least one, for intervals that samples cannot keep apart."""
        info = self._info()
        if info is None or not info.writer_alive:
            return
        try:
            late_s = self._late_s()
        except SwitchError as error:
            if interval_s < FOLD_S:
                raise IntervalError(
                    f"an interval of {interval_s:g} s: the bridge counts once every {FOLD_S:g} s, "
                    f"and cannot be asked to count sooner ({error}); give at least "
                    f"{FOLD_S:g} s, or the bridge's socket (--switch)"
                ) from None
            return
        if interval_s < _TIMES_LATE * late_s:
            raise IntervalError(
                f"an interval of {interval_s:g} s: exits take up to {late_s:g} s to the bridge; "
                f"give at least {_TIMES_LATE * late_s:g} s, or lower the module's flush_interval_ms"
            )

    def since(self, base: Moment | None, now: Moment) -> Report:
        """Return the report on the exits between two samples, of the guests requested.

        GuestError for a word that matches no guest.
        """
        self._names.update(now.snapshot.guests)
        guest_ids = self._names.matching(self._words) if self._words else None
        return report(now, base, self._names, self._query, guest_ids)

    def counts(self) -> bool:
        """Return whether exits are being counted: a bridge writes, and tracing is on."""
        info = self._info()
        return info is not None and info.writer_alive and info.switched_on

    def warn_if_incomplete(self) -> None:
        """Warn where no exits are being counted, or only some of them."""
        try:
            with RingReader(self._ring) as ring:
                info: RingInfo | None = ring.info()
        except RingMissingError:
            info = None
        except RingError as error:
            self._warn(f"whether exits are being counted is not known: {error}")
            return
        if info is None or not info.writer_alive:
            self._warn("no bridge writes these statistics now; start it (kvmlog bridge)")
            return
        if not info.switched_on:
            self._warn("tracing is off, nothing is being counted; switch it on (kvmlog switch on)")
            return
        try:
            status = self._switch.status()
        except SwitchError as error:
            self._warn(f"whether all exits are counted is not known: {error}")
            return
        if status.get("ring", {}).get("ring_id", info.ring_id) != info.ring_id:
            self._warn(
                f"whether all exits are counted is not known: the bridge at {self._switch.path} "
                "writes another ring; --switch takes the socket of this one's"
            )
        elif recorded := status.get("sampling"):
            self._warn(f"only recorded exits are counted: {'; '.join(describe_sampling(recorded))}")

    def _late_s(self) -> float:
        """Return how long exits may take to the bridge; SwitchError when it cannot be asked."""
        flushed = self._switch.flush()
        if flushed.get("statistics_id") != self._reader.fold().statistics_id:
            raise SwitchError(f"the bridge at {self._switch.path} writes other statistics")
        return float(flushed.get("late_ms", 0)) / 1_000

    def _catch_up(self, monotonic_ns: int) -> bool:
        """Have all that comes until then written; return whether it is, or nobody writes."""
        info = self._info()
        if info is None or not info.writer_alive:
            return True
        reachable = True

        def ask() -> None:
            nonlocal reachable
            if reachable:
                try:
                    self._switch.flush()
                except SwitchError:
                    # Then the file is as it is, or is waited for.
                    reachable = False

        return self._reader.wait_until(monotonic_ns, ask, _SETTLE_S)

    def _info(self) -> RingInfo | None:
        try:
            with RingReader(self._ring) as ring:
                return ring.info()
        except RingError:
            return None
