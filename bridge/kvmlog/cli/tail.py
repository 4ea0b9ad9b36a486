# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog tail`: follow the ring, printing records as they come.

Polls the ring, so that a reader costs the writer nothing. Survives the bridge
restarting and the ring being replaced; says so when it happens. Records are
sorted by time within what one poll found.
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
    """Adds the sub-command's flags."""
    add_options(parser)
    records.add_ring(parser)


def add_options(parser: argparse.ArgumentParser, *, words: bool = False) -> None:
    """What there is to ask of any ring; words: leaves reasons as they are, for another host."""
    parser.add_argument(
        "-n",
        dest="count",
        metavar="N",
        type=records.not_negative,
        default=DEFAULT_COUNT,
        help="how many records from before to begin with (default %(default)s)",
    )
    selection.add_arguments(parser, words=words)


def run(args: argparse.Namespace) -> int:
    """Follows until Ctrl-C; returns 0. Raises RingError for a ring that cannot be read."""
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
    while True:
        time.sleep(POLL_S)
        following = snapshot.ring_id
        snapshot = ring.snapshot(since=snapshot.next_index)
        idle_polls = 0 if snapshot.records else idle_polls + 1
        if idle_polls == LOOK_AGAIN_POLLS:
            idle_polls = 0
            ring = _looked_up_again(ring, path)
            snapshot = ring.snapshot(since=snapshot.next_index)
        if snapshot.ring_id != following:
            print(lines.sentence_line(REPLACED))
            snapshot = ring.snapshot(since=0)
        _print(ring, snapshot, chosen, view, overwritten=snapshot.overwritten)


def _looked_up_again(ring: RingReader, path: str) -> RingReader:
    """Returns a reader of the file that has the name now.

    A ring that was removed, not replaced, says nothing of a new one.
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
