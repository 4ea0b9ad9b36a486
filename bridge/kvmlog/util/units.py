# SPDX-License-Identifier: GPL-2.0-or-later
"""Durations and wall-clock times as text."""

from __future__ import annotations

import re
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


_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": NS_PER_S}
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ns|us|ms|s)", re.ASCII)


def parse_duration(text: str) -> int:
    """Return the ns of "1ms", "0.5s" and the like; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    return round(float(match[1]) * _NS[match[2]])


KIB: Final = 1_024
_PREFIXES: Final = ("", "K", "M", "G", "T", "P", "E")


def short(amount: float, step: int) -> str:
    """Return an amount in at most four characters: "0", "999", "1.0K", "12K", "3.1G".

    amount: not negative. step: 1,000, or KIB for bytes.
    """
    if round(amount) < 1_000:
        return f"{amount:.0f}"
    for prefix in _PREFIXES[1:]:
        amount /= step
        if round(amount, 1) < 10:
            return f"{amount:.1f}{prefix}"
        if round(amount) < 1_000:
            return f"{amount:.0f}{prefix}"
    return f"{amount:.0f}{prefix}"


# What no clock shows: only a damaged file has more.
_MOST_REALTIME_NS: Final = 2**64 - 1
_MOST_OFFSET_S: Final = 86_399


def local_time(realtime_ns: int, utc_offset_s: int) -> datetime:
    """Return the local time of a CLOCK_REALTIME value, truncated to 1 us.

    realtime_ns: ns since 1970, UTC. utc_offset_s: seconds east of UTC. Values that no clock shows
    become the nearest that one does.
    """
    offset_s = max(-_MOST_OFFSET_S, min(utc_offset_s, _MOST_OFFSET_S))
    seconds, ns = divmod(max(0, min(realtime_ns, _MOST_REALTIME_NS)), NS_PER_S)
    zone = timezone(timedelta(seconds=offset_s))
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=ns // 1_000)


def time_column(realtime_ns: int, utc_offset_s: int) -> str:
    """Return local month, day and time to the microsecond: "11-20 19:46:02.123456"."""
    return local_time(realtime_ns, utc_offset_s).strftime("%m-%d %H:%M:%S.%f")


def date_time(realtime_ns: int, utc_offset_s: int) -> str:
    """Return local date and time to the second: "2026-11-30 09:44:12"."""
    return local_time(realtime_ns, utc_offset_s).strftime("%Y-%m-%d %H:%M:%S")


def iso_time(realtime_ns: int, utc_offset_s: int) -> str:
    """Return local time to the ns with its offset: "2026-11-30T09:44:12.123456789+01:00".

    ISO 8601; realtime_ns, utc_offset_s: as for local_time().
    """
    text = local_time(realtime_ns, utc_offset_s).isoformat(timespec="microseconds")
    at = len("2026-11-30T09:44:12.123456")
    return f"{text[:at]}{max(0, min(realtime_ns, _MOST_REALTIME_NS)) % 1_000:03d}{text[at:]}"
