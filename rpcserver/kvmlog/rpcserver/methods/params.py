# SPDX-License-Identifier: GPL-2.0-or-later
"""The one struct that a structured call takes: its members, their types and their bounds.

Every refusal is a fault INVALID_PARAMETERS that names the member, the value and what is taken.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from kvmlog.rpcserver import faults

# Gives the value to work with; ValueError with what is taken, as in "give true or false".
Check: TypeAlias = Callable[[Any], Any]

_U64_DIGITS: Final = 20


def parse(parameters: tuple[Any, ...], method: str, known: Mapping[str, Check]) -> dict[str, Any]:
    """The members of a call's only parameter, checked; none where there is no parameter."""
    given = parameters[0] if parameters else {}
    if not isinstance(given, dict):
        raise _refused(f"{method} takes a struct, not {faults.shown(given)}.")
    found = {}
    for name, value in given.items():
        check = known.get(name)
        if check is None:
            close = difflib.get_close_matches(str(name), known, 1, 0.5)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise _refused(
                f"{method} has no member {faults.shown(name)}{meant}; it takes {', '.join(known)}."
            )
        try:
            found[name] = check(value)
        except ValueError as error:
            raise _refused(f"{method}: {name} is {faults.shown(value)}; {error}.") from None
    return found


def require(found: dict[str, Any], method: str, *names: str) -> None:
    """Refuses a struct without one of these."""
    for name in names:
        if name not in found:
            raise _refused(f"{method} needs the member {name}.")


def boolean(value: Any) -> bool:
    """A boolean, and nothing that is like one."""
    if not isinstance(value, bool):
        raise ValueError("give a boolean")
    return value


def integer(least: int, most: int) -> Check:
    """An int, or, since XML-RPC's have 32 bits, decimal digits in a string."""

    def check(value: Any) -> int:
        number = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, str) and value.isascii() and value.isdigit():
            number = int(value) if len(value) <= _U64_DIGITS else None
        if number is None or not least <= number <= most:
            raise ValueError(f"give a whole number from {least} to {most}")
        return number

    return check


def seconds(least: float, most: float) -> Check:
    """An int or a double."""

    def check(value: Any) -> float:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        # No NaN is within bounds; math.isfinite() would raise for integers above 10^308.
        if not known or not least <= value <= most:
            raise ValueError(f"give seconds from {least:g} to {most:.0f}")
        return float(value)

    return check


def one_of(*words: str) -> Check:
    """One of some words."""

    def check(value: Any) -> str:
        if value not in words:
            raise ValueError(f"give one of {', '.join(words)}")
        return str(value)

    return check


def strings(most: int, characters: int) -> Check:
    """An array of 1 to `most` strings of 1 to `characters` characters."""

    def check(value: Any) -> list[str]:
        fits = isinstance(value, list) and 1 <= len(value) <= most
        if not fits or not all(isinstance(t, str) and 1 <= len(t) <= characters for t in value):
            raise ValueError(
                f"give an array of 1 to {most} strings of 1 to {characters} characters"
            )
        return list(value)

    return check


def _refused(sentence: str) -> Exception:
    return faults.fault(faults.INVALID_PARAMETERS, sentence)
