# SPDX-License-Identifier: GPL-2.0-or-later
"""Moments as Nova writes them, and as its clients send them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from kvmlog.guests.sanitize import clean
from kvmlog.history.moment import Stamp
from kvmlog.util.errors import HistoryError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What is kept has 64 bits of nanoseconds.
_MOST_NS: Final = 2**63 - 1
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
    """Return the ns since 1970 of an ISO 8601 date or time, UTC without a zone; TimeError.

    What is before 1970, or too far in the future, is as far as it can be.
    """
    try:
        if len(given) > _CHARACTERS:
            raise ValueError("too long")
        when = datetime.fromisoformat(given)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    except ValueError:
        raise TimeError(
            f"'{clean(given, _CHARACTERS)}' is no time; give one like 2026-11-30, "
            "2026-11-30T17:00:00 or 2026-11-30T17:00:00+01:00"
        ) from None
    ns = (when - _EPOCH) // timedelta(microseconds=1) * 1_000
    return max(0, min(ns, _MOST_NS))
