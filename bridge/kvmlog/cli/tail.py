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

from kvmlog.cli import records, selection
from kvmlog.exits.format import lines
from kvmlog.exits.selection import Selection
from kvmlog.guests.view import GuestView
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
    records.add_ring(parser)


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
    """Follow until Ctrl-C and return 0; RingError when the ring cannot be read."""
    with contextlib.suppress(KeyboardInterrupt):
        _follow(args)
    return 0


def _follow(args: argparse.Namespace) -> None:
    path: str = args.ring
    ring = RingReader(path)
    view = selection.guest_view(path, args.vm)
    chosen = selection.from_arguments(args, view)
    snapshot = ring.snapshot(count=args.count)
    print(lines.HEADER)
    # That many from before were asked for; that the ring held fewer is no gap.
    _print(ring, snapshot, chosen, view, overwritten=0)
    idle_polls = 0
    following, shown = snapshot.ring_id, snapshot.next_index
    while True:
        time.sleep(POLL_S)
        snapshot = ring.snapshot(since=shown)
        idle_polls = 0 if snapshot.records else idle_polls + 1
        if idle_polls == LOOK_AGAIN_POLLS:
            idle_polls = 0
            ring = _looked_up_again(ring, path)
            snapshot = ring.snapshot(since=shown)
        if snapshot.ring_id != following:
            print(lines.sentence_line(REPLACED))
            following, shown = snapshot.ring_id, 0
            snapshot = ring.snapshot(since=0)
        _print(ring, snapshot, chosen, view, overwritten=snapshot.overwritten)
        # A stale copy, which the bridge replaces within a second, ends before what was shown.
        shown = max(shown, snapshot.next_index)


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


def _print(
    ring: RingReader, snapshot: Snapshot, chosen: Selection, view: GuestView, overwritten: int
) -> None:
    if overwritten:
        print(records.overwritten_line(overwritten))
    if snapshot.records:
        view.reload()
        view.learn(unpack_records(snapshot.records))
    for line in records.lines(ring, snapshot, chosen, view):
        print(line)
    sys.stdout.flush()
