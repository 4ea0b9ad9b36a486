# SPDX-License-Identifier: GPL-2.0-or-later
"""Durations and wall-clock times as text."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Final

NS_PER_S: Final = 1_000_000_000

_UNITS: Final[tuple[tuple[str, int], ...]] = (("us", 1_000), ("ms", 1_000_000), ("s", NS_PER_S))


def duration(ns: int) -> str:
    """Return a duration with three digits and its unit: "812ns", "12.3us", "4.56ms".

    From 1,000 s on it is in minutes and seconds ("16m40s"), from 1,000 min on in hours and
    minutes ("27h46m"). ns: nanoseconds, not negative.
    """
    if ns < 1_000:
        return f"{ns}ns"
    for unit, ns_each in _UNITS:
        # Rounded in integers to the digits shown, so that 999,960 ns is "1.00ms".
        for digits in (2, 1, 0):
            scale: int = 10**digits
            scaled = (ns * scale + ns_each // 2) // ns_each
            if scaled < 1_000:
                whole, fraction = divmod(scaled, scale)
                return f"{whole}.{fraction:0{digits}d}{unit}" if digits else f"{whole}{unit}"
    seconds = (ns + NS_PER_S // 2) // NS_PER_S
    minutes, seconds = divmod(seconds, 60)
    if minutes < 1_000:
        return f"{minutes}m{seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def local_time(wall_ns: int, utc_offset_s: int) -> datetime:
    """Return the local time of a CLOCK_REALTIME value, truncated to 1 us.

    wall_ns: ns since 1970, UTC. utc_offset_s: seconds east of UTC.
    """
    zone = timezone(timedelta(seconds=utc_offset_s))
    seconds, ns = divmod(wall_ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=ns // 1_000)


def time_column(wall_ns: int, utc_offset_s: int) -> str:
    """Return local month, day and time to the microsecond: "11-20 19:46:02.123456"."""
    return local_time(wall_ns, utc_offset_s).strftime("%m-%d %H:%M:%S.%f")


def local_iso(realtime_ns: int) -> str:
    """Return local time to the microsecond with its offset, as ISO 8601."""
    offset_s = time.localtime(realtime_ns // NS_PER_S).tm_gmtoff
    return local_time(realtime_ns, offset_s).isoformat(timespec="microseconds")
