# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from kvmlog.why.budget import Budget
from kvmlog.why.evidence import Evidence


@dataclass(frozen=True)
class Figure:
    """A figure that says so; unit: percent, per_s, ns, bytes, bytes_per_s, count."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Match:
    """What of the evidence a rule matched.

    weight: how much it costs the VM, 0 to 1, by which findings are sorted. headline: a sentence
    with the figure; details: further ones; remedies: where they depend on what was seen, else the
    rule's hold.
    """

    weight: float
    headline: str
    figures: tuple[Figure, ...]
    details: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


Find: TypeAlias = Callable[[Evidence, Budget | None, float], Match | None]


@dataclass(frozen=True)
class Rule:
    """A row of the table.

    looks_at: the evidence it needs: run, exits, cpu, disks, nics, memory, host; of several,
    separated by blanks, any will do. condition: has the threshold as {}; source: where it is from.
    hides: rules whose findings follow from this one's, and are left out beside it.
    """

    name: str
    looks_at: str
    condition: str
    threshold: float
    source: str
    remedies: tuple[str, ...]
    find: Find
    hides: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Return the condition with its threshold."""
        return self.condition.format(f"{self.threshold:g}")


def percent(share: float) -> str:
    """Return "48 %" of a share, "<1 %" of one that rounds to nothing, but is something."""
    if 0 < share < 0.005:
        return "<1 %"
    return f"{share * 100:.0f} %"
