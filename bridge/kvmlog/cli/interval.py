# SPDX-License-Identifier: GPL-2.0-or-later
"""The interval of commands that repeat (-i S), and when each of them is due."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from typing import Final

MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 86_400.0


def interval_s(value: str) -> float:
    """Parse a number of seconds, for argparse."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not an interval; give {MIN_INTERVAL_S:g} to {MAX_INTERVAL_S:,.0f} "
            "seconds"
        )
    return seconds


def ticks(interval_s: float) -> Iterator[float]:
    """Yield the seconds to wait for the next multiple of the interval; missed ones are skipped."""
    due = time.monotonic()
    while True:
        due += interval_s
        left_s = due - time.monotonic()
        if left_s < 0:
            due -= left_s
        yield max(0.0, left_s)
