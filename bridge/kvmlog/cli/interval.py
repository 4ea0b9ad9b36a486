# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that repeat: -i S and -n COUNT, and when each interval is due."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from typing import Final

from kvmlog.cli import records

MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 86_400.0


def add_options(parser: argparse.ArgumentParser, text: str) -> None:
    """Add -i with this help (args.interval, None: once), and -n (args.count)."""
    parser.add_argument("-i", dest="interval", metavar="S", type=interval_s, help=text)
    parser.add_argument(
        "-n",
        dest="count",
        metavar="COUNT",
        type=records.positive,
        help="with -i: stop after COUNT tables",
    )


def check(args: argparse.Namespace) -> None:
    """Exit with status 2 where -n has no -i; args.usage_error: the parser's error()."""
    if args.interval is None and args.count is not None:
        args.usage_error("-n counts the tables of -i; give -i S too")


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
