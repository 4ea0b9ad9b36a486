# SPDX-License-Identifier: GPL-2.0-or-later
"""The time of day that held at a record's time (docs/ring-format.md).

A record's times are CLOCK_MONOTONIC, which is never set and has no zone. The bridge keeps in the
ring's header what the other clocks showed since when: a time of day never depends on when it is
read, nor on the zone of who reads it.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from kvmlog.native import lib
from kvmlog.util.units import NS_PER_S


class ClockPair(NamedTuple):
    """struct kvmlog_clock_pair: what clocks and zone showed from `from_ns` (monotonic) on."""

    from_ns: int
    realtime_offset_ns: int  # CLOCK_REALTIME less CLOCK_MONOTONIC
    utc_offset_s: int


class WallTime(NamedTuple):
    """A time of day: ns since 1970, UTC, and seconds that local time was east of UTC then."""

    realtime_ns: int
    utc_offset_s: int


class Clocks:
    """The pairs of a host, at least one, sorted by from_ns; before the first, it holds as well."""

    def __init__(self, pairs: Iterable[ClockPair]) -> None:
        self.pairs: Final = tuple(pairs)
        self._from_ns: Final = [pair.from_ns for pair in self.pairs]

    def objects(self) -> list[dict[str, int]]:
        """Return the pairs as replies have them: dicts of the fields of ClockPair."""
        return [pair._asdict() for pair in self.pairs]

    def pair(self, monotonic_ns: int) -> ClockPair:
        """Return the pair that held at a record's time."""
        return self.pairs[max(0, bisect_right(self._from_ns, monotonic_ns) - 1)]

    def at(self, monotonic_ns: int) -> WallTime:
        """Return the time of day of a record's time."""
        pair = self.pair(monotonic_ns)
        return WallTime(monotonic_ns + pair.realtime_offset_ns, pair.utc_offset_s)

    def of(self, realtime_ns: int) -> WallTime:
        """Return the time of day of a CLOCK_REALTIME value, in the zone that held then.

        A time that came twice, because the clock was set back, is taken as the later one.
        """
        for pair in reversed(self.pairs):
            if realtime_ns >= pair.from_ns + pair.realtime_offset_ns:
                return WallTime(realtime_ns, pair.utc_offset_s)
        return WallTime(realtime_ns, self.pairs[0].utc_offset_s)


def of_header(header: Any) -> Clocks:
    """Return the clocks in a struct kvmlog_ring_header."""
    count = min(header.clock_count, lib.KVMLOG_RING_CLOCKS)
    if count == 0:
        # A writer that kept no pairs: the clocks of its last heartbeat, for all records.
        offset_ns = header.realtime_ns - header.monotonic_ns
        return Clocks([ClockPair(0, offset_ns, header.utc_offset_s)])
    return Clocks(
        ClockPair(pair.from_ns, pair.realtime_offset_ns, pair.utc_offset_s)
        for pair in header.clocks[0:count]
    )


def of_this_process() -> Clocks:
    """Return the clocks and the zone of this process, where no bridge says what its host's are."""
    before_ns = time.monotonic_ns()
    realtime_ns = time.time_ns()
    offset_ns = realtime_ns - (before_ns + time.monotonic_ns()) // 2
    return Clocks([ClockPair(0, offset_ns, time.localtime(realtime_ns // NS_PER_S).tm_gmtoff)])
