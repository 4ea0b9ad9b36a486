# SPDX-License-Identifier: GPL-2.0-or-later
"""Durations and local times, at their boundaries."""

from __future__ import annotations

from datetime import datetime

import pytest

from kvmlog.util import units


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0ns"),
        (999, "999ns"),
        (1_000, "1.00us"),
        (12_345, "12.3us"),
        (123_456, "123us"),
        (999_499, "999us"),
        (999_500, "1.00ms"),
        (9_995, "10.0us"),
        (1_500_000, "1.50ms"),
        (999_999_999, "1.00s"),
        (59_950_000_000, "60.0s"),
        (999_400_000_000, "999s"),
        (1_000_000_000_000, "16m40s"),
        (100_000_000_000_000, "27h46m"),
    ],
)
def test_duration_has_three_digits_and_a_unit(ns: int, text: str) -> None:
    """A duration is rounded to the digits shown; the unit changes where rounding reaches 1,000."""
    assert units.duration(ns) == text


def test_time_is_cut_not_rounded() -> None:
    """999,999,999 ns is .999999, of the same second."""
    assert units.time_column(86_399_999_999_999, 0) == "01-01 23:59:59.999999"


def test_time_is_local() -> None:
    """Half-hour zones, and zones west of UTC, move minute and day."""
    assert units.time_column(0, 19_800) == "01-01 05:30:00.000000"
    assert units.time_column(0, -3_600) == "12-31 23:00:00.000000"


@pytest.mark.parametrize(
    ("realtime_ns", "offset_s", "text"),
    [
        (1_796_028_252_123_456_789, 3_600, "2026-11-30T09:44:12.123456789+01:00"),
        (1_796_028_252_000_000_007, -12_600, "2026-11-30T05:14:12.000000007-03:30"),
        (0, 0, "1970-01-01T00:00:00.000000000+00:00"),
        (2**64 - 1, 86_399, "2554-07-22T23:34:32.709551615+23:59:59"),
        (-1, -(2**31), "1969-12-31T00:00:01.000000000-23:59:59"),
        (2**70, 2**31, "2554-07-22T23:34:32.709551615+23:59:59"),
    ],
)
def test_iso_time_has_every_digit_and_the_offset(
    realtime_ns: int, offset_s: int, text: str
) -> None:
    """Whatever a damaged file holds, the text is a time."""
    assert units.iso_time(realtime_ns, offset_s) == text
    at = text.index(".") + 7
    assert datetime.fromisoformat(text[:at] + text[at + 3 :]) == units.local_time(
        realtime_ns, offset_s
    )


@pytest.mark.parametrize(
    ("amount", "step", "text"),
    [
        (0, 1_024, "0"),
        (0.4, 1_024, "0"),
        (999.4, 1_024, "999"),
        (999.6, 1_024, "1.0K"),
        (1_023, 1_024, "1.0K"),
        (1_536, 1_024, "1.5K"),
        (10_188, 1_024, "9.9K"),
        (10_200, 1_024, "10K"),
        (1_023_487, 1_024, "999K"),
        (1_023_500, 1_024, "1.0M"),
        (3 << 30, 1_024, "3.0G"),
        (81_204, 1_000, "81K"),
        (2**63, 1_024, "8.0E"),
    ],
)
def test_amounts_take_four_characters(amount: float, step: int, text: str) -> None:
    """Rounded first: what rounds up to 1,000 has the next prefix."""
    assert units.short(amount, step) == text
    assert len(text) <= 4
