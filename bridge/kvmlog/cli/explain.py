# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog explain`: the meaning of an exit reason, its common causes, and remedies.

And of a detail that DETAIL shows as a number: the device behind a port or an address of a PC.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from kvmlog.exits.decode import devices
from kvmlog.exits.explain import text
from kvmlog.exits.explain.explanation import Explained
from kvmlog.exits.explain.serialize import explained_object
from kvmlog.exits.explain.tables import explain
from kvmlog.exits.reasons import lookup

# Of a recording, where no reason was asked for.
_FIRST: Final = 3
_LAST_PORT: Final = 0xFFFF
_LAST_ADDRESS: Final = 2**64 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog explain`; an unknown reason is a usage error."""
    parser.add_argument(
        "reason",
        nargs="?",
        metavar="REASON",
        help="a name (hlt, EPT_VIOLATION, KVM_EXIT_MMIO), its beginning, or a number (48, 0x7b); "
        "default: list all",
    )
    parser.add_argument(
        "--port",
        type=_number_up_to(_LAST_PORT),
        metavar="PORT",
        help="in place of a reason: the device behind an I/O port of a PC (0xcf8)",
    )
    parser.add_argument(
        "--gpa",
        type=_number_up_to(_LAST_ADDRESS),
        metavar="ADDRESS",
        help="in place of a reason: the device at a guest physical address of a PC (0xfee000b0)",
    )
    parser.add_argument("--isa", choices=lookup.ISAS, help="only reasons of this architecture")
    parser.add_argument("--list", action="store_true", dest="as_list", help="one line per reason")
    parser.add_argument(
        "--from",
        dest="recording",
        metavar="FILE",
        help="explain reasons of a recording (kvmlog record), most time first, with their figures "
        f"there; without REASON the first {_FIRST} that are no halts",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per line, one for each reason"
    )
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Print and return 0; exit with status 2 if the name or number is unknown."""
    if args.port is not None or args.gpa is not None:
        alone = (args.reason, args.isa, args.recording) == (None, None, None)
        if not alone or None not in (args.port, args.gpa):
            args.usage_error("--port and --gpa ask for one device; give one of them alone")
        place = devices.at_port(args.port) if args.gpa is None else devices.at_address(args.gpa)
        print(json.dumps(place.describe()) if args.json else place.sentence())
        return 0
    if args.recording is not None:
        return _recorded(args)
    if args.reason is None:
        found = lookup.all_reasons(args.isa)
    else:
        found = lookup.find(args.reason, args.isa)
        if not found:
            args.usage_error(lookup.unknown_message(args.reason, args.isa))
    show([explain(one) for one in found], args.json, args.as_list or args.reason is None)
    return 0


def _recorded(args: argparse.Namespace) -> int:
    """Explain the reasons that a recording has."""
    # Imported here, because a reason alone needs no recording.
    from kvmlog.cli import recorded

    with recorded.opened(args.recording) as recording:
        found = recorded.reasons_of(recording, args.isa)
    if args.reason is None:
        found = [one for one in found if not one.halts][:_FIRST]
    else:
        asked = lookup.find(args.reason, args.isa)
        if not asked:
            args.usage_error(lookup.unknown_message(args.reason, args.isa))
        wanted = {(one.isa, one.number) for one in asked}
        found = [one for one in found if (one.reason.isa, one.reason.number) in wanted]
        if not found:
            names = ", ".join(dict.fromkeys(one.name for one in asked))
            print(f"kvmlog: {args.recording}: no exit of {names} in it", file=sys.stderr)
            return 0
    explained = [explain(one.reason) for one in found]
    if args.json:
        for one, reason in zip(found, explained, strict=True):
            figures = {"count": one.count, "total_ns": one.total_ns, "max_ns": one.max_ns}
            print(json.dumps({**explained_object(reason), "recorded": figures}))
        return 0
    for position, (one, reason) in enumerate(zip(found, explained, strict=True)):
        if args.as_list:
            print(text.list_line(reason))
            continue
        if position:
            print()
        print(*text.lines([reason], figures=one.sentence()), sep="\n")
    return 0


def show(found: Sequence[Explained], as_json: bool, as_list: bool) -> None:
    """Print the reasons."""
    if as_json:
        lines: Iterable[str] = (json.dumps(explained_object(one)) for one in found)
    elif as_list:
        lines = map(text.list_line, found)
    else:
        lines = text.lines(found)
    for line in lines:
        print(line)


def _number_up_to(last: int) -> Callable[[str], int]:
    def number(value: str) -> int:
        try:
            found = int(value, 0)
        except ValueError:
            found = -1
        if not 0 <= found <= last:
            raise argparse.ArgumentTypeError(
                f"{value!r} is no number from 0 to {last:#x}; give one, as in 0xcf8"
            )
        return found

    return number
