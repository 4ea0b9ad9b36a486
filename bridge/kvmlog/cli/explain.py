# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog explain`: what an exit reason is, what causes a lot of it, what to try."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kvmlog.exits.explain import vmx
from kvmlog.exits.explain.explanation import Explained, Explanation
from kvmlog.exits.explain.serialize import explained_object
from kvmlog.exits.explain.tables import explain
from kvmlog.exits.reasons import lookup

_WIDTH: Final = 88
_DECIMAL: Final = frozenset(("vmx", lookup.KVM))  # as their headers write numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-command's flags; an unknown reason is a usage error, as argparse says them."""
    parser.add_argument(
        "reason",
        nargs="?",
        metavar="REASON",
        help="a name (hlt, EPT_VIOLATION, KVM_EXIT_MMIO), its beginning, or a number (48, 0x7b); "
        "none: list all",
    )
    parser.add_argument("--isa", choices=lookup.ISAS, help="of this kind of CPU only")
    parser.add_argument(
        "--list", action="store_true", dest="as_list", help="one line for each reason"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per reason and line")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Prints and returns 0; ends with status 2 if nothing is known by that name or number."""
    if args.reason is None:
        found = lookup.all_reasons(args.isa)
    else:
        found = lookup.find(args.reason, args.isa)
        if not found:
            args.usage_error(lookup.unknown_message(args.reason, args.isa))
    show([explain(one) for one in found], args.json, args.as_list or args.reason is None)
    return 0


def show(found: Sequence[Explained], as_json: bool, as_list: bool) -> None:
    """Prints what is known of them."""
    if as_json:
        lines: Iterable[str] = (json.dumps(explained_object(one)) for one in found)
    elif as_list:
        lines = map(list_line, found)
    else:
        lines = text_lines(found)
    for line in lines:
        print(line)


def list_line(reason: Explained) -> str:
    """Returns ISA, number, name and meaning in columns."""
    return f"{reason.isa:<5}  {_number(reason):>10}  {reason.name:<28}  {reason.meaning}"


def text_lines(found: Sequence[Explained]) -> Iterator[str]:
    """Yields the explanations; reasons that have one in common stand above it together."""
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
