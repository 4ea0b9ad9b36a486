# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that select the records to show: by reason, duration and guest."""

from __future__ import annotations

import argparse
import sys

from kvmlog.exits.reasons import lookup
from kvmlog.exits.search import Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestNames
from kvmlog.util import units


def add_arguments(
    parser: argparse.ArgumentParser, *, words: bool = False, verb: str = "show"
) -> None:
    """Add --reason, --slower-than and --vm; words: leave reasons for another host to look up.

    verb: what is done with the records.
    """
    parser.add_argument(
        "--reason",
        action="append",
        default=[],
        type=str if words else _reason,
        metavar="REASON",
        help=f"{verb} only exits of this reason (a name, number or beginning, see `kvmlog "
        "explain`); repeatable",
    )
    parser.add_argument(
        "--slower-than",
        default=0,
        type=duration_ns,
        metavar="TIME",
        help=f"{verb} only exits that took at least this long: 500us, 1ms, 0.5s",
    )
    add_vm(parser, f"{verb} only this guest, running or ended; repeatable")


def add_vm(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --vm, a list of words for GuestNames.matching(); empty: all guests."""
    parser.add_argument("--vm", action="append", default=[], metavar="NAME|UUID|PID", help=text)


def guest_view(ring: str, words: list[str]) -> GuestView:
    """Return the guests of a ring, limited to those of --vm.

    When the file of guests cannot be used, warn on stderr; guests are numbers then.
    """
    names = GuestNames(ring)
    if names.problem is not None:
        print(f"kvmlog: {names.problem}", file=sys.stderr)
    return GuestView(names, words)


def from_arguments(args: argparse.Namespace, view: GuestView) -> Selection:
    """Return the selection that the arguments describe; view: the guests that --vm names."""
    found = (reason for one in args.reason for reason in one)
    return Selection.of(found, args.slower_than, view if args.vm else None)


def duration_ns(value: str) -> int:
    """Parse "1ms" and the like into nanoseconds, for argparse."""
    try:
        return units.parse_duration(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a time; give a number with ns, us, ms or s, as in 1ms"
        ) from None


def _reason(value: str) -> list[lookup.Reason]:
    found = lookup.find(value)
    if not found:
        raise argparse.ArgumentTypeError(lookup.unknown_message(value, None))
    return found
