# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of text in place of the table: help, and explanations of reasons."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.exits.reasons import names
from kvmlog.top.model.scope import ReasonKey

_LEAST_WIDTH: Final = 20
# A key and the blanks behind it, or an indent.
_BEGIN: Final = re.compile(r"\s+(?:\S.*?\s{2,}(?=\S))?")

HELP: Final = """\
kvmlog top: why, and for how long, guests leave the CPU, live

moving about
  Up Down PgUp PgDn Home End, j k   choose a line (mouse: click, wheel)
  Enter, Right     open it: guest, vCPU, reason, detail (mouse: click it again)
  Esc, Left        back
order
  < >              sort by the column to the left, to the right (mouse: click its title)
  r                turn the order round
  /                show only lines that have a text (a guest's: or UUID, pid); Enter keeps the \
filter, Esc removes it
time
  Space, p         pause; again: go on
  + -              longer or shorter intervals
pictures of the chosen line
  Tab              the next one: who spent the time, histogram, heat map; beside the table on \
a wide terminal, where all are shown
  d                without pictures, and with them again
what it means
  ?                explain the reason (on any other line: this help)
  h, F1            this help
tracing
  s                switch tracing on or off, for all guests or the chosen one, for a time
q, Ctrl-C          quit

columns
  EXITS/s, TIME/s  exits, and time from exit to re-entry of all vCPUs together, each second
  SHARE            part of the time in exits of the guest (of guests: of all)
  P50, P99, MAX    half of the exits took no longer; "<": only the power of two is known
  KVM, VMM, WAIT   who spent it: KVM in the kernel; the guest's own process (QEMU, ...); \
nobody, the vCPU was ready and got no CPU
  WHO              the same in a bar: K, V, W, I: idle, halted; P: paused by the VMM
  HALTS/s          exits that halted, which are in no other figure of a guest or vCPU
above the table
  lost             records lost since the ring was made; the figures lack them
  cost             CPU time that tracing takes; above the budget it is switched off"""


@dataclass(frozen=True)
class Page:
    """Text with a title; wrapped to the screen when it is shown."""

    title: str
    reasons: Sequence[ReasonKey] = ()

    def lines(self, width: int) -> list[str]:
        """Return lines of at most so many characters."""
        found = _explained(self.reasons, width) if self.reasons else HELP.splitlines()
        return [part for line in found for part in _wrapped(line, width)]


HELP_PAGE: Final = Page("help")


def explanation(reason: ReasonKey) -> Page:
    """Return the page of a reason, as `kvmlog explain` words it."""
    return Page(f"explain {reason.name}", (reason,))


def _explained(reasons: Sequence[ReasonKey], width: int) -> list[str]:
    # They are long, and the first picture does not need them.
    from kvmlog.exits.explain import text
    from kvmlog.exits.explain.tables import explain
    from kvmlog.exits.reasons import lookup

    found = [
        explain(one)
        for reason in reasons
        for one in lookup.find(str(reason.reason), names.isa_name(reason.isa))
    ]
    if not found:
        return [f"{reasons[0].name}: a reason that this version of kvmlog does not know"]
    return list(text.lines(found, max(_LEAST_WIDTH, min(width, text.WIDTH))))


def _wrapped(line: str, width: int) -> list[str]:
    """Return the line in parts, which begin below its text, not below its key."""
    if len(line) <= width:
        return [line]
    begin = _BEGIN.match(line)
    indent = begin.end() if begin is not None and begin.end() < width // 2 else 0
    return textwrap.wrap(
        line, max(4, width), subsequent_indent=" " * indent, break_on_hyphens=False
    ) or [""]
