# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog dump`: the newest records of the ring, in time order."""

from __future__ import annotations

import argparse
from typing import Final

from kvmlog.cli import records, selection
from kvmlog.exits.format import lines
from kvmlog.exits.selection import Selection
from kvmlog.guests.view import GuestView
from kvmlog.ring.reader import RingReader, Snapshot
from kvmlog.ring.records import unpack_records

DEFAULT_COUNT: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-command's flags."""
    add_options(parser)
    records.add_ring(parser)


def add_options(parser: argparse.ArgumentParser, *, words: bool = False) -> None:
    """What there is to ask of any ring; words: leaves reasons as they are, for another host."""
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
    selection.add_arguments(parser, words=words)


def run(args: argparse.Namespace) -> int:
    """Prints the records; returns 0. Raises RingError when the ring cannot be read."""
    with RingReader(args.ring) as ring:
        view = selection.guest_view(args.ring, args.vm)
        chosen = selection.from_arguments(args, view)
        snapshot = _enough(ring, args.count, chosen, view)
        if not args.json:
            print(lines.HEADER)
        for line in records.lines(
            ring, snapshot, chosen, view, newest=args.count, as_json=args.json
        ):
            print(line)
    return 0


def _enough(ring: RingReader, count: int, chosen: Selection, view: GuestView) -> Snapshot:
    """The newest records, as many as hold `count` that are chosen, or all that there are."""
    looked_at = count
    while True:
        snapshot = ring.snapshot(count=looked_at)
        found = unpack_records(snapshot.records)
        view.learn(found)
        if chosen.all or len(found) < looked_at:
            return snapshot
        if sum(map(chosen.shows, found)) >= count:
            return snapshot
        looked_at *= 8
