# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the exits are recorded, as the switch is asked for it, and its limits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.native import lib
from kvmlog.util.errors import SwitchError

MOST_ONE_IN: Final[int] = lib.KVMLOG_MAX_ONE_IN
MOST_WINDOW_MS: Final[int] = lib.KVMLOG_MAX_WINDOW_MS
# Far beyond what one machine can do.
MOST_PER_S: Final = 1_000_000_000

_LIMITS: Final = {
    "one_in": (1, MOST_ONE_IN, "leave it out to record each exit"),
    "on_ms": (1, MOST_WINDOW_MS, "leave it out to record at all times"),
    "off_ms": (1, MOST_WINDOW_MS, "leave it out to record at all times"),
    "max_per_s": (1, MOST_PER_S, "leave it out to have no cap"),
}
PARAMS: Final = tuple(_LIMITS)


@dataclass(frozen=True)
class Sampling:
    """One exit in `one_in` on average, at times that lie in windows, at most so many.

    on_ms, off_ms: the window is open for so long, then closed for so long; 0 and 0: always open.
    max_per_s: exits recorded a second on average, beyond which one_in is raised (cap.py); None: no
    cap.
    """

    one_in: int = 1
    on_ms: int = 0
    off_ms: int = 0
    max_per_s: int | None = None

    @classmethod
    def parse(cls, arguments: dict[str, Any]) -> Sampling:
        """Those of PARAMS that stand in `arguments`; SwitchError for values that cannot be."""
        found = {name: _number(name, arguments[name]) for name in PARAMS if name in arguments}
        if ("on_ms" in found) != ("off_ms" in found):
            given, other = ("on_ms", "off_ms") if "on_ms" in found else ("off_ms", "on_ms")
            raise SwitchError(
                f'"{given}" is {found[given]} without "{other}"; a sampling window takes both'
            )
        return cls(**found)

    def arguments(self) -> dict[str, int]:
        """What parse() makes this of; empty where each exit is recorded."""
        return {
            name: value
            for name in PARAMS
            if (value := getattr(self, name)) is not None and value != getattr(Sampling, name)
        }


EVERY_EXIT: Final = Sampling()


def describe_sampling(recorded: dict[str, Any]) -> list[str]:
    """One line for each of its limits; members of Sampling, and one_in_now of a status."""
    words = []
    one_in = int(recorded["one_in"])
    now = int(recorded.get("one_in_now", one_in))
    if now > 1:
        words.append(f"one exit in {now:,} on average is recorded")
    if now != one_in:
        words[-1] += f" now, for the cap (asked for: one in {one_in:,})"
    if int(recorded["on_ms"]):
        words.append(f"recorded for {recorded['on_ms']} ms, left out for {recorded['off_ms']} ms")
    if recorded["max_per_s"]:
        words.append(f"at most {int(recorded['max_per_s']):,} exits recorded a second")
    return words


def _number(name: str, value: Any) -> int:
    least, most, remedy = _LIMITS[name]
    # To Python true is a number.
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        text = json.dumps(value)
        shown = text if len(text) <= 32 else text[:32] + "..."
        raise SwitchError(
            f'"{name}" is {shown}; give a whole number from {least} to {most}, or {remedy}'
        )
    return value
