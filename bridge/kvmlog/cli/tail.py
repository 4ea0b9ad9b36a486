# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog tail`: follow the ring, printing records as they come.

Poll the ring, so that a reader costs the writer nothing. A restart of the bridge or
a replaced ring is survived, and reported. Records are sorted by time within a poll.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import Final

from kvmlog.cli import recorded, records, selection
from kvmlog.exits.format import lines
from kvmlog.exits.search import Search
from kvmlog.guests.labels import GuestView
from kvmlog.ring.reader import RingReader, Snapshot
from kvmlog.ring.records import unpack_records
from kvmlog.util.errors import RingMissingError

DEFAULT_COUNT: Final = 10
POLL_S: Final = 0.1
LOOK_AGAIN_POLLS: Final = 10  # without a record

REPLACED: Final = "the ring was replaced; what the old one got since the last poll is not shown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog tail`."""
    add_options(parser)
    records.add_source(parser)


def add_options(parser: argparse.ArgumentParser, *, words: bool = False) -> None:
    """Add the options that any ring takes; words: leave reasons for another host to look up."""
    parser.add_argument(
        "-n",
        dest="count",
        metavar="N",
        type=records.not_negative,
        default=DEFAULT_COUNT,
        help="begin with the newest N records (default %(default)s)",
    )
    selection.add_arguments(parser, words=words)


def run(args: argparse.Namespace) -> int:
    """Follow until Ctrl-C and return 0; RingError when the ring cannot be read.

    A recording is followed while it is being written. RecordingError when it cannot be read.
    """
    with contextlib.suppress(KeyboardInterrupt):
        if args.recording is None:
            _follow(args)
        else:
            with recorded.opened(args.recording) as recording:
                view = recorded.print_newest(args, recording, as_json=False)
                recorded.follow(args, recording, view)
    return 0


def _follow(args: argparse.Namespace) -> None:
    path: str = args.ring
    ring = RingReader(path)
    view = selection.guest_view(path, args.vm)
    chosen = selection.from_arguments(args, view)
    found = Search(ring, chosen).newest(args.count)
    print(lines.HEADER)
    _print(ring, found, view)
    idle_polls = 0
    following, shown = found.ring_id, found.next_index
    while True:
        time.sleep(POLL_S)
        view.reload()
        found = Search(ring, chosen).since(shown)
        idle_polls = 0 if found.next_index != shown else idle_polls + 1
        if idle_polls == LOOK_AGAIN_POLLS:
            idle_polls = 0
            ring = _looked_up_again(ring, path)
            found = Search(ring, chosen).since(shown)
        if found.ring_id != following:
            print(lines.sentence_line(REPLACED))
            following, shown = found.ring_id, 0
            found = Search(ring, chosen).since(0)
        if found.overwritten:
            print(records.overwritten_line(found.overwritten))
        _print(ring, found, view)
        # A stale copy, which the bridge replaces within a second, ends before what was shown.
        shown = max(shown, found.next_index)


def _looked_up_again(ring: RingReader, path: str) -> RingReader:
    """Return a reader of the file that has the name now.

    If the ring was removed and not replaced, keep the current reader.
    """
    try:
        fresh = RingReader(path)
    except RingMissingError:
        return ring
    ring.close()
    return fresh


def _print(ring: RingReader, found: Snapshot, view: GuestView) -> None:
    shown = unpack_records(found.records)
    view.learn(shown)
    for line in records.record_lines(shown, ring.clocks(), view, as_json=False):
        print(line)
    sys.stdout.flush()
