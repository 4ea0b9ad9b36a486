# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog explain`: the meaning of an exit reason, its common causes, and remedies.

And of a detail that DETAIL shows as a number: the device behind a port or an address of a PC.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from kvmlog.exits.decode import devices
from kvmlog.exits.explain import text
from kvmlog.exits.explain.explanation import Explained
from kvmlog.exits.explain.serialize import explained_object
from kvmlog.exits.explain.tables import explain
from kvmlog.exits.reasons import lookup

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
        "--json", action="store_true", help="one JSON object per line, one for each reason"
    )
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Print and return 0; exit with status 2 if the name or number is unknown."""
    if args.port is not None or args.gpa is not None:
        if args.reason is not None or args.isa is not None or None not in (args.port, args.gpa):
            args.usage_error("--port and --gpa ask for one device; give one of them alone")
        place = devices.at_port(args.port) if args.gpa is None else devices.at_address(args.gpa)
        print(json.dumps(place.describe()) if args.json else place.sentence())
        return 0
    if args.reason is None:
        found = lookup.all_reasons(args.isa)
    else:
        found = lookup.find(args.reason, args.isa)
        if not found:
            args.usage_error(lookup.unknown_message(args.reason, args.isa))
    show([explain(one) for one in found], args.json, args.as_list or args.reason is None)
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
