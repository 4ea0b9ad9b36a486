# SPDX-License-Identifier: GPL-2.0-or-later
"""Base units in those of a format; what is not known stays None, and is then left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kvmlog.vmstats.moment import Moment

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def in_units(value: int | None, unit: int) -> int | None:
    """Return how many whole units the value has."""
    return None if value is None else value // unit


def rounded(value: float | None) -> int | None:
    """Return the nearest whole number."""
    return None if value is None else round(value)


def text(value: float | str | None) -> str | None:
    """Return the value as text, for formats that have no numbers."""
    return None if value is None else str(value)


def known(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without what is None."""
    return {key: value for key, value in document.items() if value is not None}


def total(*values: int | None) -> int | None:
    """Return the sum, None where one of the values is not known."""
    found = [value for value in values if value is not None]
    return sum(found) if len(found) == len(values) else None


def iso(moment: Moment) -> str:
    """Return when it was: 2026-11-20T19:46:02.000000+00:00."""
    when = _EPOCH + timedelta(microseconds=moment.realtime_ns // 1_000)
    return when.isoformat(timespec="microseconds")


def seconds_between(before: Moment, after: Moment) -> float:
    """Return how much later the second is; 0 where it is not."""
    return max(0, after.monotonic_ns - before.monotonic_ns) / 1e9
