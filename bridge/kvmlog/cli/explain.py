# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog explain`: the meaning of an exit reason, its common causes, and remedies.

And of a detail that DETAIL shows as a number: the device behind a port or an address of a PC.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from kvmlog.exits.decode import devices
from kvmlog.exits.explain import vmx
from kvmlog.exits.explain.explanation import Explained, Explanation
from kvmlog.exits.explain.serialize import explained_object
from kvmlog.exits.explain.tables import explain
from kvmlog.exits.reasons import lookup

_WIDTH: Final = 88
_LAST_PORT: Final = 0xFFFF
_LAST_ADDRESS: Final = 2**64 - 1
_DECIMAL: Final = frozenset(("vmx", lookup.KVM))  # as their headers write numbers


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
        lines = map(list_line, found)
    else:
        lines = text_lines(found)
    for line in lines:
        print(line)


def list_line(reason: Explained) -> str:
    """Return ISA, number, name and meaning in columns."""
    return f"{reason.isa:<5}  {_number(reason):>10}  {reason.name:<28}  {reason.meaning}"


def text_lines(found: Sequence[Explained]) -> Iterator[str]:
    """Yield the explanations; reasons that share one are grouped above it."""
    shared: dict[Explanation, list[Explained]] = {}
    for reason in found:
        shared.setdefault(reason.explanation, []).append(reason)
    for position, (explanation, group) in enumerate(shared.items()):
        if position:
            yield ""
        for reason in group:
            yield _head(reason)
            for flag in reason.flags:
                yield from _wrapped(f"{flag}: {vmx.FLAGS.get(flag, 'a flag')}.", "    ")
        yield from _explanation_lines(explanation)


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


def _head(reason: Explained) -> str:
    kind = "return to the VMM" if reason.isa == lookup.KVM else f"{reason.isa} exit"
    return f"{reason.name} ({kind} {_number(reason)}): {reason.meaning}."


def _explanation_lines(explanation: Explanation) -> Iterator[str]:
    for title, words in (("What it is", explanation.what), ("A lot of it", explanation.causes)):
        yield ""
        yield title
        yield from _wrapped(words, "    ")
    if explanation.remedies:
        yield ""
        yield "What to try"
        for remedy in explanation.remedies:
            yield from _wrapped(remedy, "      ", first="    - ")


def _wrapped(words: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _number(reason: Explained) -> str:
    return str(reason.number) if reason.isa in _DECIMAL else hex(reason.number)
