# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsers for the options of `kvmlog stat`, and the query they describe."""

from __future__ import annotations

import argparse

from kvmlog.cli import interval
from kvmlog.cli.stat import columns
from kvmlog.ring.statistics.reader import By, check_octaves
from kvmlog.stat.query import DEFAULT_BY, Query, by_words, sort_of
from kvmlog.util.errors import StatisticsError


def by(value: str) -> By:
    """Parse "guest,reason" and the like, for argparse."""
    try:
        return by_words([word.strip() for word in value.split(",")])
    except StatisticsError as error:
        raise argparse.ArgumentTypeError(f"{error}, separated by commas") from None


def query(args: argparse.Namespace) -> Query:
    """Return the query; exit with status 2 if options contradict each other."""
    args.heat_apart = args.heat and args.by is not None
    if args.by is None:
        # A heat map adds up what it is by.
        args.by = By.GUEST if args.heat else DEFAULT_BY
    try:
        if args.hist or args.heat:
            check_octaves(args.by)
        sort = sort_of(args.by, args.sort)
    except StatisticsError as error:
        args.usage_error(f"--{error}")
    if args.columns is not None:
        if args.json or args.csv:
            args.usage_error("--columns is for tables; --json and --csv have all figures")
        if args.hist or args.heat:
            args.usage_error("--columns is for tables; --hist and --heat are none")
        lacking = columns.lacking(args.by, args.columns)
        if lacking:
            args.usage_error(
                f"--columns: groups by return have no {' or '.join(lacking)}; leave it out"
            )
    if args.exact and By.DETAIL not in args.by:
        args.usage_error("--exact is for details; give --by reason,detail too")
    interval.check(args)
    if args.heat and args.interval is None:
        args.usage_error("--heat shows a line for each interval; give -i S too")
    if args.reset and (args.command or args.interval is not None or args.output is not None):
        args.usage_error("--reset shows nothing; give it alone")
    if args.recording is not None and (args.interval is not None or args.command or args.reset):
        args.usage_error("--from has what was recorded; give no -i, --reset or command with it")
    return Query(args.by, sort, args.top, args.halts, args.exact, args.hist or args.heat)
