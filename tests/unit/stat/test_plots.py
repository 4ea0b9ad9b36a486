# SPDX-License-Identifier: GPL-2.0-or-later
"""Histograms and heat maps as text."""

from __future__ import annotations

from kvmlog.stat import plots
from tests.support.statistics_rows import octaves_of


def test_a_histogram() -> None:
    """The first to the last octave that has exits, with bars in proportion to the fullest."""
    counts = octaves_of({1_500: 1, 3_000: 200, 17_000: 50})
    assert list(plots.histogram(counts, 20)) == [
        "                    exits",
        "  1.02us -> 2.05us      1 |*                   |",
        "  2.05us -> 4.10us    200 |********************|",
        "  4.10us -> 8.19us      0 |                    |",
        "  8.19us -> 16.4us      0 |                    |",
        "  16.4us -> 32.8us     50 |*****               |",
    ]


def test_a_histogram_of_nothing() -> None:
    """No exits, no lines."""
    assert list(plots.histogram(octaves_of({}))) == []


def test_heat_is_by_powers_of_ten() -> None:
    """A cell for each octave; the darkest stands for all that is more."""
    counts = octaves_of({10: 1, 40: 10, 100: 999, 200: 1_000, 300: 99_999, 700: 10**9})
    assert plots.heat(counts, range(8)) == ".:+*#@  "
    assert len(plots.heat(counts)) == len(plots.axis())


def test_the_axis_has_marks_where_octaves_begin() -> None:
    """Those that fit the part that is shown."""
    assert plots.axis() == " 32ns 1us  33us 1ms  34ms 1s   34s   "
    assert plots.axis(range(6, 14)) == "1us     "
    assert plots.axis(range(7, 9)) == "  "
