# SPDX-License-Identifier: GPL-2.0-or-later
"""Durations and local times, at their boundaries."""

from __future__ import annotations

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
