# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples of statistics and ring, and the reports made of two of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import describe_sampling
from kvmlog.guests.names import GuestNames
from kvmlog.ring.reader import RingInfo, RingReader, host_clocks
from kvmlog.ring.statistics.reader import StatisticsReader
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from kvmlog.stat.report import Moment, Report, report
from kvmlog.util.errors import RingError, SwitchError

# The most that an exit takes from the CPU into the statistics.
_SETTLE_S: Final = 5.0
# How long a table waits for the bridge to report the sampling.
_ASK_S: Final = 1.0


class Sampler:
    """A sampler of a ring's statistics.

    words: the guests requested, empty: all; warn: receives warnings, a sentence each.
    """

    def __init__(
        self,
        reader: StatisticsReader,
        ring: str,
        query: Query,
        words: Sequence[str],
        warn: Callable[[str], None],
    ) -> None:
        self._reader = reader
        self._ring = ring
        self._query = query
        self._words = words
        self._warn = warn
        self._names = StatisticsNames(GuestNames(ring))

    def now(self, settle: bool = False) -> Moment:
        """Return a sample; settle: first wait for exits under way, if there is a bridge."""
        info = self._info()
        if settle and info is not None and info.writer_alive:
            if not self._reader.wait_until(time.monotonic_ns(), _SETTLE_S):
                self._warn(
                    f"the newest exits may be missing: the bridge did not count for {_SETTLE_S:g} "
                    "s; look at its log"
                )
            info = self._info()
        return Moment(
            self._reader.snapshot(),
            None if info is None else info.lost_records,
            time.time_ns(),
            host_clocks(self._ring),
        )

    def since(self, base: Moment | None, now: Moment) -> Report:
        """Return the report on the exits between two samples, of the guests requested.

        GuestError for a word that matches no guest.
        """
        self._names.update(now.snapshot.guests)
        guest_ids = self._names.matching(self._words) if self._words else None
        return report(now, base, self._names, self._query, guest_ids)

    def warn_if_incomplete(self, switch: str) -> None:
        """Warn where no exits are being counted, or only some of them.

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
