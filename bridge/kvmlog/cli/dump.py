# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog dump`: the newest records of the ring, in time order."""

from __future__ import annotations

import argparse
from typing import Final

from kvmlog.bridge.ring import DEFAULT_RING, RingReader
from kvmlog.cli import records
from kvmlog.exits import text

DEFAULT_COUNT: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-command's flags."""
    parser.add_argument(
        "-n",
        dest="count",
        metavar="N",
        type=records.positive,
        default=DEFAULT_COUNT,
        help="how many records, the newest (default %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per line, names and numbers"
    )
    parser.add_argument(
        "--ring",
        metavar="PATH",
        default=DEFAULT_RING,
        help="ring file (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints the records; returns 0. Raises RingError when the ring cannot be read."""
    with RingReader(args.ring) as ring:
        snapshot = ring.snapshot(count=args.count)
        if not args.json:
            print(text.HEADER)
        for line in records.lines(ring, snapshot, as_json=args.json):
            print(line)
    return 0
