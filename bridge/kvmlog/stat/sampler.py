# SPDX-License-Identifier: GPL-2.0-or-later
"""Moments of the statistics and of the ring beside them, and the reports that are made of two."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import describe_sampling
from kvmlog.guests.names import GuestNames
from kvmlog.ring.reader import RingInfo, RingReader
from kvmlog.ring.statistics.reader import StatisticsReader
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from kvmlog.stat.report import Moment, Report, report
from kvmlog.util.errors import RingError, SwitchError

# Exits take a moment from the CPU into the statistics.
_SETTLE_S: Final = 5.0
# So long a table waits for what the bridge says of the sampling.
_ASK_S: Final = 1.0


class Sampler:
    """The statistics of a ring. words: of which guests, empty: of all; warn: takes sentences."""

    def __init__(
        self,
        reader: StatisticsReader,
        ring: str,
        view: Query,
        words: Sequence[str],
        warn: Callable[[str], None],
    ) -> None:
        self._reader = reader
        self._ring = ring
        self._view = view
        self._words = words
        self._warn = warn
        self._names = StatisticsNames(GuestNames(ring))

    def now(self, settle: bool = False) -> Moment:
        """This moment; settle: waits for exits that are on their way, if there is a bridge."""
        info = self._info()
        if settle and info is not None and info.writer_alive:
            if not self._reader.wait_until(time.monotonic_ns(), _SETTLE_S):
                self._warn(
                    f"the newest exits may be missing: the bridge did not count for {_SETTLE_S:g} "
                    "s; look at its log"
                )
            info = self._info()
        return Moment(
            self._reader.snapshot(), None if info is None else info.lost_records, time.time_ns()
        )

    def since(self, base: Moment | None, now: Moment) -> Report:
        """What came between two moments, of the guests that were asked for.

        GuestError for a word that no guest answers to.
        """
        self._names.update(now.snapshot.guests)
        wanted = self._names.matching(self._words) if self._words else None
        return report(now, base, self._names, self._view, wanted)

    def say_what_is_counted(self, switch: str) -> None:
        """One sentence where nothing is being counted, or some of the exits only.

        switch: the bridge's local socket.
        """
        info = self._info()
        if info is None or not info.writer_alive:
            self._warn("no bridge writes these statistics now; start it (kvmlog bridge)")
            return
        if not info.switched_on:
            self._warn("tracing is off, nothing is being counted; switch it on (kvmlog switch on)")
            return
        try:
            status = SwitchClient(switch, _ASK_S).status()
        except SwitchError as error:
            self._warn(f"whether all exits are counted is not known: {error}")
            return
        if status.get("ring", {}).get("ring_id", info.ring_id) != info.ring_id:
            self._warn(
                f"whether all exits are counted is not known: the bridge at {switch} writes "
                "another ring; --switch takes the socket of this one's"
            )
        elif recorded := status.get("sampling"):
            self._warn(f"only recorded exits are counted: {'; '.join(describe_sampling(recorded))}")

    def _info(self) -> RingInfo | None:
        try:
            with RingReader(self._ring) as ring:
                return ring.info()
        except RingError:
            return None
