# SPDX-License-Identifier: GPL-2.0-or-later
"""Audit periods are those of UTC's calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kvmlog.notify.message import utc
from kvmlog.notify.periods import PERIODS, last_complete


def ns(text: str) -> int:
    """A moment of UTC, ns since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("kind", "now", "begin", "end"),
    [
        ("hour", "2026-11-30T00:20:01", "2026-11-29T23:00", "2026-11-30T00:00"),
        ("day", "2026-11-30T18:20", "2026-11-29", "2026-11-30"),
        ("day", "2024-03-01T00:00", "2024-02-29", "2024-03-01"),
        ("month", "2026-03-15", "2026-02-01", "2026-03-01"),
        ("month", "2027-01-01", "2026-12-01", "2027-01-01"),
        ("year", "2026-11-30T12:00", "2025-01-01", "2026-01-01"),
    ],
)
def test_the_last_one_that_has_ended(kind: str, now: str, begin: str, end: str) -> None:
    """A period that ends now has ended; 29 February and New Year are on the way."""
    assert last_complete(kind, ns(now)) == (ns(begin), ns(end))
    # One ns before its end it has not.
    assert last_complete(kind, ns(end) - 1).end_ns == ns(begin)


def test_each_kind_has_one() -> None:
    """All that the configuration takes."""
    for kind in PERIODS:
        period = last_complete(kind, ns("2026-11-30T18:20"))
        assert period.begin_ns < period.end_ns
        assert utc(period.end_ns).minute == 0
