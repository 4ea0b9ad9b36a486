# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kvmlog stat` can be asked for, and what it says of an option that makes no sense."""

from __future__ import annotations

import argparse
import math
from typing import Final

from kvmlog.ring.statistics.reader import By
from kvmlog.stat.query import Query, by_words, sort_of
from kvmlog.util.errors import StatisticsError

MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 86_400.0


def by(value: str) -> By:
    """Parses "guest,reason" and the like, for argparse."""
    try:
        return by_words([word.strip() for word in value.split(",")])
    except StatisticsError as error:
        raise argparse.ArgumentTypeError(f"{error}, separated by commas") from None


def interval_s(value: str) -> float:
    """Parses a number of seconds, for argparse."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S:
        raise argparse.ArgumentTypeError(
            f"{value!r} is no interval; give {MIN_INTERVAL_S:g} to {MAX_INTERVAL_S:,.0f} seconds"
        )
    return seconds


def query(args: argparse.Namespace) -> Query:
    """What the options ask for; ends with status 2 where they contradict each other."""
    try:
        sort = sort_of(args.by, args.sort)
    except StatisticsError as error:
        args.usage_error(f"--{error}")
    if args.interval is None and args.count is not None:
        args.usage_error("-n counts the tables of -i; give -i S too")
    if args.reset and (args.command or args.interval is not None or args.output is not None):
        args.usage_error("--reset shows nothing; give it alone")
    return Query(args.by, sort, args.top, args.halts)
