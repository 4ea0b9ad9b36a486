# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog dump`: the newest records of the ring, or of a recording, in time order."""

from __future__ import annotations

import argparse
from typing import Final

from kvmlog.cli import recorded, records, selection
from kvmlog.exits.format import lines
from kvmlog.exits.search import Search
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import unpack_records

DEFAULT_COUNT: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog dump`."""
    add_options(parser)
    records.add_source(parser)


def add_options(parser: argparse.ArgumentParser, *, words: bool = False) -> None:
    """Add the options that any ring takes; words: leave reasons for another host to look up."""
    parser.add_argument(
        "-n",
        dest="count",
        metavar="N",
        type=records.positive,
        default=DEFAULT_COUNT,
        help="show the newest N records (default %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per line, with names and numbers"
    )
    selection.add_arguments(parser, words=words)


def run(args: argparse.Namespace) -> int:
    """Print the records and return 0; RingError or RecordingError when they cannot be read."""
    if args.recording is not None:
        with recorded.opened(args.recording) as recording:
            recorded.print_newest(args, recording, args.json)
        return 0
    with RingReader(args.ring) as ring:
        view = selection.guest_view(args.ring, args.vm)
        chosen = selection.from_arguments(args, view)
        found = Search(ring, chosen).newest(args.count)
        shown = unpack_records(found.records)
        view.learn(shown)
        if not args.json:
            print(lines.HEADER)
        for line in records.record_lines(shown, ring.clocks(), view, args.json):
            print(line)
    return 0
