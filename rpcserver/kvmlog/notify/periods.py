# SPDX-License-Identifier: GPL-2.0-or-later
"""Audit periods: hours, days, months and years of UTC, from which `instance.exists` is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from kvmlog.notify.message import utc
from kvmlog.util.units import NS_PER_S

PERIODS: Final = ("hour", "day", "month", "year")


class Period(NamedTuple):
    """A period; both ends in ns since 1970, the second one outside."""

    begin_ns: int
    end_ns: int


def last_complete(kind: str, now_ns: int) -> Period:
    """Return the newest period of a kind (PERIODS) that has ended."""
    end = _floor(kind, utc(now_ns))
    begin = _floor(kind, end - timedelta(microseconds=1))
    return Period(_ns(begin), _ns(end))


def _floor(kind: str, moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if kind == "hour":
        return hour
    day = hour.replace(hour=0)
    if kind == "day":
        return day
    month = day.replace(day=1)
    return month if kind == "month" else month.replace(month=1)


def _ns(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * NS_PER_S
