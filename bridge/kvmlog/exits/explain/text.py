# SPDX-License-Identifier: GPL-2.0-or-later
"""Explanations of exit reasons as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from kvmlog.exits.explain import vmx
from kvmlog.exits.explain.explanation import Explained, Explanation
from kvmlog.exits.reasons import lookup

WIDTH: Final = 88
_DECIMAL: Final = frozenset(("vmx", lookup.KVM))  # as their headers write numbers


def list_line(reason: Explained) -> str:
    """Return ISA, number, name and meaning in columns."""
    return f"{reason.isa:<5}  {_number(reason):>10}  {reason.name:<28}  {reason.meaning}"


def lines(found: Sequence[Explained], width: int = WIDTH, figures: str = "") -> Iterator[str]:
    """Yield the explanations; reasons that share one are grouped above it.

    width: characters of a line, but for the names at the head. figures: a sentence about them that
    stands before the explanation, "": none.
    """
    shared: dict[Explanation, list[Explained]] = {}
    for reason in found:
        shared.setdefault(reason.explanation, []).append(reason)
    for position, (explanation, group) in enumerate(shared.items()):
        if position:
            yield ""
        for reason in group:
            yield _head(reason)
            for flag in reason.flags:
                yield from _wrapped(width, f"{flag}: {vmx.FLAGS.get(flag, 'a flag')}.", "    ")
        if figures:
            yield from _wrapped(width, figures, "    ")
        yield from _explanation_lines(width, explanation)


def _head(reason: Explained) -> str:
    kind = "return to the VMM" if reason.isa == lookup.KVM else f"{reason.isa} exit"
    return f"{reason.name} ({kind} {_number(reason)}): {reason.meaning}."


def _explanation_lines(width: int, explanation: Explanation) -> Iterator[str]:
    for title, words in (("What it is", explanation.what), ("A lot of it", explanation.causes)):
        yield ""
        yield title
        yield from _wrapped(width, words, "    ")
    if explanation.remedies:
        yield ""
        yield "What to try"
        for remedy in explanation.remedies:
            yield from _wrapped(width, remedy, "      ", first="    - ")


def _wrapped(width: int, words: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        words,
        width,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _number(reason: Explained) -> str:
    return str(reason.number) if reason.isa in _DECIMAL else hex(reason.number)
