# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, and what thresholds make of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.cli.check.ranges import Threshold, number, perfdata
from kvmlog.cli.check.status import Outcome, State, worst

_SHOWN: Final = 5
_DIGITS: Final = 4


@dataclass(frozen=True)
class Extra:
    """Another figure of the same thing, for graphs only."""

    label: str
    value: float
    unit: str = ""


@dataclass(frozen=True)
class Figure:
    """The figure of one VM, or of the host; value None: it cannot be measured, `why` tells."""

    label: str
    value: float | None
    unit: str
    low: float | None = 0
    high: float | None = None
    why: str = ""
    per: str = ""  # after value and unit: "a second"
    about: str = ""  # what the value is of, where it is not all of the label: "vda, writing"
    extras: tuple[Extra, ...] = ()

    @property
    def known(self) -> float | None:
        """Return the value; None for one that is no number."""
        return self.value if self.value is not None and math.isfinite(self.value) else None


@dataclass(frozen=True)
class Measured:
    """What one check has found.

    nothing: what to say where there is no figure, and nothing wrong with that. fixed: states that
    no threshold decides, each with a sentence.
    """

    figures: Sequence[Figure]
    nothing: str = "no VM runs"
    fixed: Sequence[tuple[State, str]] = ()
    good: str = ""  # what to say instead of the largest figure
    notes: Sequence[str] = ()  # lines of the long text instead of a line for each figure


def judge(found: Measured, warn: Threshold | None, critical: Threshold | None) -> Outcome:
    """Return the outcome by these thresholds."""
    judged = [(_state(one, warn, critical), one) for one in found.figures]
    states = [state for state, _ in judged] + [state for state, _ in found.fixed]
    told = [(state, _alert(state, one, warn, critical)) for state, one in judged if state]
    told += [(state, sentence) for state, sentence in found.fixed if state]
    state = worst(states)
    # Those that decide the state come first.
    told.sort(key=lambda one: one[0] is not state)
    sentences = [sentence for _, sentence in told]
    text = "; ".join(sentences[:_SHOWN]) if sentences else _summary(found)
    if len(sentences) > _SHOWN:
        text += f"; and {len(sentences) - _SHOWN} more"
    return Outcome(
        state,
        text,
        _perfdata(found.figures, warn, critical),
        tuple(found.notes) or tuple(_line(state, one) for state, one in judged),
    )


def _state(one: Figure, warn: Threshold | None, critical: Threshold | None) -> State:
    if one.known is None:
        return State.UNKNOWN
    if critical is not None and critical.alerts(one.known):
        return State.CRITICAL
    return State.WARNING if warn is not None and warn.alerts(one.known) else State.OK


def _alert(state: State, one: Figure, warn: Threshold | None, critical: Threshold | None) -> str:
    if state is State.UNKNOWN:
        return f"{one.label}: {one.why or 'is not known'}"
    violated = critical if state is State.CRITICAL else warn
    assert violated is not None
    return f"{one.label} {_value(one)} ({state.name.lower()} at {violated.text})"


def _value(one: Figure) -> str:
    assert one.known is not None
    digits = number(float(f"{one.known:.{_DIGITS}g}"))
    words = " ".join(word for word in (digits, one.unit, one.per) if word)
    return f"{words} ({one.about})" if one.about else words


def _summary(found: Measured) -> str:
    if found.good:
        return found.good
    if not found.figures:
        return found.nothing
    largest = max(found.figures, key=lambda one: one.known or 0)
    most = f"{largest.label} {_value(largest)}"
    return most if len(found.figures) == 1 else f"{len(found.figures)} VMs, most {most}"


def _line(state: State, one: Figure) -> str:
    return f"{state.name} {one.label}: {one.why if one.known is None else _value(one)}"


def _perfdata(
    figures: Sequence[Figure], warn: Threshold | None, critical: Threshold | None
) -> tuple[str, ...]:
    made: dict[str, str] = {}
    for one in figures:
        if one.known is not None:
            made.setdefault(
                one.label,
                perfdata(one.label, one.known, one.unit, warn, critical, one.low, one.high),
            )
    for one in figures:
        for extra in one.extras:
            label = f"{one.label}_{extra.label}" if one.label else extra.label
            if math.isfinite(extra.value):
                made.setdefault(label, perfdata(label, extra.value, extra.unit))
    return tuple(made.values())
