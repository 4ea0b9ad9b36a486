# SPDX-License-Identifier: GPL-2.0-or-later
"""Which exits `dump` and `tail` show: by reason, by how long they took, and by guest."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Final

from kvmlog.exits.reasons import lookup
from kvmlog.exits.selection import Selection
from kvmlog.guests.names import GuestNames
from kvmlog.guests.view import GuestView

_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s)")


def add_arguments(parser: argparse.ArgumentParser, *, words: bool = False) -> None:
    """Adds --reason, --slower-than and --vm; words: does not look reasons up."""
    parser.add_argument(
        "--reason",
        action="append",
        default=[],
        type=str if words else _reason,
        metavar="REASON",
        help="only exits of this reason, as `kvmlog explain` takes it; several: any of them",
    )
    parser.add_argument(
        "--slower-than",
        default=0,
        type=duration_ns,
        metavar="TIME",
        help="only exits that took at least so long: 500us, 1ms, 0.5s",
    )
    add_vm(parser, "only exits of this guest, running or ended; several: of any of them")


def add_vm(parser: argparse.ArgumentParser, text: str) -> None:
    """Adds --vm, a list of what GuestNames.matching() takes; empty: no choice."""
    parser.add_argument("--vm", action="append", default=[], metavar="NAME|UUID|PID", help=text)


def guest_view(ring: str, words: list[str]) -> GuestView:
    """The guests of a ring, and those of --vm among them.

    A file of guests that cannot be used is said on stderr, and the guests are numbers.
    """
    names = GuestNames(ring)
    if names.problem is not None:
        print(f"kvmlog: {names.problem}", file=sys.stderr)
    return GuestView(names, words)


def from_arguments(args: argparse.Namespace, view: GuestView) -> Selection:
    """What these arguments choose; view: of the guests that --vm names, if it names any."""
    found = (reason for one in args.reason for reason in one)
    return Selection.of(found, args.slower_than, view if args.vm else None)


def duration_ns(value: str) -> int:
    """Parses "1ms" and the like into nanoseconds, for argparse."""
    match = _DURATION.fullmatch(value)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{value!r}: no time; give a number and ns, us, ms or s, as in 1ms"
        )
    return round(float(match[1]) * _NS[match[2]])


def _reason(value: str) -> list[lookup.Reason]:
    found = lookup.find(value)
    if not found:
        raise argparse.ArgumentTypeError(lookup.unknown_message(value, None))
    return found
