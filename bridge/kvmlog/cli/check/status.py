# SPDX-License-Identifier: GPL-2.0-or-later
"""What a plugin tells: one of four states, a line of text, and performance data.

By the guidelines of the Monitoring Plugins, "Plugin Output" and "Plugin Return Codes".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


class State(enum.IntEnum):
    """A state, numbered as the exit status."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# What is known to be wrong is told, whatever else could not be measured.
_ORDER: Final = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)
# Nagios reads 8 KiB of a plugin.
_TEXT_CHARACTERS: Final = 2_000
_PERFDATA_CHARACTERS: Final = 5_000


def worst(states: Iterable[State]) -> State:
    """Return the one that counts; OK where there is none."""
    return max(states, key=_ORDER.index, default=State.OK)


@dataclass(frozen=True)
class Outcome:
    """All that a plugin tells. perfdata: `'label'=value...`, the most important first."""

    state: State
    text: str
    perfdata: tuple[str, ...] = ()
    long_text: tuple[str, ...] = ()

    def lines(self, what: str) -> list[str]:
        """Return the output; what: the name of the check. UNKNOWN has no performance data."""
        first = f"KVMLOG {what.upper()} {self.state.name} - {_plain(self.text)}"
        told = "" if self.state is State.UNKNOWN else _fitting(self.perfdata)
        if told:
            first += f" | {told}"
        return [first, *map(_plain, self.long_text)]


def _plain(text: str) -> str:
    """Return a text without the characters that mean something in a plugin's output."""
    text = " ".join(text.split()).replace("|", "/")
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}..."


def _fitting(perfdata: Iterable[str]) -> str:
    """Return as many as fit, whole."""
    found, left = [], _PERFDATA_CHARACTERS
    for one in perfdata:
        left -= len(one.encode("utf-8")) + 1
        if left < 0:
            break
        found.append(one)
    return " ".join(found)
