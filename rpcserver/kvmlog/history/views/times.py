# SPDX-License-Identifier: GPL-2.0-or-later
"""Moments as Nova writes them, and as its clients send them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from kvmlog.guests.sanitize import clean
from kvmlog.history.moment import Stamp
from kvmlog.util.errors import HistoryError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What 64 bits of nanoseconds reach.
_YEARS: Final = (1970, 2261)
_CHARACTERS: Final = 64


class TimeError(HistoryError):
    """A text that is no time."""


def text(stamp: Stamp) -> str:
    """Return a moment as Nova has it, in UTC: 2018-04-25T01:26:36.036697."""
    return of_ns(stamp.realtime_ns)


def maybe(stamp: Stamp | None) -> str | None:
    """Return a moment as text() does; None for one that nobody knows."""
    return None if stamp is None else text(stamp)


def of_ns(realtime_ns: int) -> str:
    """Return a time of day, ns since 1970, as text() does."""
    when = _EPOCH + timedelta(microseconds=realtime_ns // 1_000)
    return when.replace(tzinfo=None).isoformat(timespec="microseconds")


def parse(given: str) -> int:
    """Return the ns since 1970 of an ISO 8601 date or time, UTC without a zone; TimeError."""
    try:
        if len(given) > _CHARACTERS:
            raise ValueError("too long")
        when = datetime.fromisoformat(given)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (OverflowError, ValueError):
        raise TimeError(
            f"'{clean(given, _CHARACTERS)}' is no time; give one like 2026-11-30, "
            "2026-11-30T17:00:00 or 2026-11-30T17:00:00+01:00"
        ) from None
    if not _YEARS[0] <= when.year <= _YEARS[1]:
        raise TimeError(
            f"'{clean(given, _CHARACTERS)}' is not within {_YEARS[0]} to {_YEARS[1]}; give a year "
            "of these"
        )
    return (when - _EPOCH) // timedelta(microseconds=1) * 1_000
