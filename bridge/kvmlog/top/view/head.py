# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines above the table: host, tracing, rate, and always losses, cost and budget."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from kvmlog.top.model.health import Health
from kvmlog.top.model.history import Moment
from kvmlog.top.model.pictures import Glyphs, TextLine, sparkline
from kvmlog.top.view.cells import fit_line, joined
from kvmlog.util import units

_NARROW = 60
_LOW = 8
_SPARK_CELLS = 30


@dataclass(frozen=True)
class Facts:
    """What the head tells; moments: of all guests together. problem, missing: sentences or ""."""

    host: str
    span: str  # "every 1s", "PAUSED at 12:00:00", "since 2026-11-30 12:00:00"
    exits_per_s: float | None
    moments: Sequence[Moment]
    health: Health | None
    problem: str
    missing: str


def head_lines(facts: Facts, width: int, height: int, glyphs: Glyphs) -> list[TextLine]:
    """Return one to four lines for a screen of this size."""
    if width < _NARROW or height < _LOW:
        return [fit_line(_short(facts), width, "head")]
    health = facts.health
    tracing = health.tracing if health is not None else "not known"
    first = joined(
        [
            [("kvmlog top", "bold"), (f"  {facts.host}", "")],
            [(facts.span, "")],
            [("tracing ", "dim"), (tracing, "" if health is not None and health.on else "problem")],
        ],
        width,
    )
    rate = "-" if facts.exits_per_s is None else units.short(facts.exits_per_s, 1_000)
    lost = health.lost if health is not None else "?"
    cost = health.cost if health is not None else "cost ?, budget ?"
    must: list[TextLine] = [
        [(f"{rate:>4} exits/s", "bold")],
        [("lost ", "dim"), (lost, "" if lost == "0" else "problem")],
        [(cost, "")],
    ]
    used = sum(len(text) for group in must for text, _ in group) + 2 * len(must)
    cells = min(_SPARK_CELLS, width - used)
    if cells >= 4:
        must.insert(1, [(sparkline(facts.moments, cells, glyphs), "histogram")])
    elif used > width:
        short = health.cost_short if health is not None else "?"
        must[2] = [(f"cost/budget {short}", "")]
    lines = [fit_line(first, width), fit_line(joined(must, width), width)]
    note = health.note if health is not None else ""
    sentences = [one for one in (facts.problem, facts.missing, note) if one]
    # One line is enough where there are few.
    room = 2 if height >= 3 * _LOW else 1
    wrapped = [part for one in sentences for part in _wrapped(one, width, room)]
    lines += [fit_line([(part, "problem")], width) for part in wrapped[:room]]
    return lines


def _wrapped(sentence: str, width: int, room: int) -> list[str]:
    """Return a sentence in as many lines as there is room for; the last one has all the rest."""
    first, _, rest = textwrap.fill(sentence, width, break_on_hyphens=False).partition("\n")
    return [first, rest.replace("\n", " ")] if rest and room > 1 else [sentence]


def _short(facts: Facts) -> TextLine:
    rate = "-" if facts.exits_per_s is None else units.short(facts.exits_per_s, 1_000)
    health = facts.health
    lost = health.lost if health is not None else "?"
    cost = health.cost_short if health is not None else "?"
    mark = "!" if facts.problem or facts.missing else ""
    paused = "||" if facts.span.startswith("PAUSED") else ""
    return [
        (f"{mark}{paused}{rate}/s", "bold"),
        (f" L{lost}", "" if lost == "0" else "problem"),
        (f" {cost}", ""),
    ]
