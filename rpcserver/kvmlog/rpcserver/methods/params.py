# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters of structured calls: the members of their one struct, with types and bounds.

Every error is an INVALID_PARAMETERS fault that names the member, its value and what is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from kvmlog.rpcserver import faults, nearest

# Returns the checked value; ValueError says what is accepted: "give a boolean".
Check: TypeAlias = Callable[[Any], Any]

_U64_DIGITS: Final = 20


def parse(parameters: tuple[Any, ...], method: str, known: Mapping[str, Check]) -> dict[str, Any]:
    """Return the members of a call's only parameter, checked; none without a parameter."""
    given = parameters[0] if parameters else {}
    if not isinstance(given, dict):
        raise _invalid(f"{method} takes a struct, not {faults.shown(given)}.")
    found = {}
    for name, value in given.items():
        check = known.get(name)
        if check is None:
            meant = nearest.meant(str(name), known)
            raise _invalid(
                f"{method} has no member {faults.shown(name)}{meant}; it takes {', '.join(known)}."
            )
        try:
            found[name] = check(value)
        except ValueError as error:
            raise _invalid(f"{method}: {name} is {faults.shown(value)}; {error}.") from None
    return found


def require(found: dict[str, Any], method: str, *names: str) -> None:
    """Raise a fault for a struct that lacks one of these members."""
    for name in names:
        if name not in found:
            raise _invalid(f"{method} needs the member {name}.")


def boolean(value: Any) -> bool:
    """Accept a boolean, and nothing that converts to one."""
    if not isinstance(value, bool):
        raise ValueError("give a boolean")
    return value


def integer(least: int, most: int) -> Check:
    """Accept an int, or decimal digits in a string, since XML-RPC's integers have 32 bits."""

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
    """Accept an int or a double."""

    def check(value: Any) -> float:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        # No NaN is within bounds; math.isfinite() would raise for integers above 10^308.
        if not numeric or not least <= value <= most:
            raise ValueError(f"give seconds from {least:g} to {most:.0f}")
        return float(value)

    return check


def one_of(*words: str) -> Check:
    """Accept one of some words."""

    def check(value: Any) -> str:
        if value not in words:
            raise ValueError(nearest.one_of(value, words))
        return str(value)

    return check


def words(known: Sequence[str]) -> Check:
    """Accept an array of some of these words, at least one."""

    def check(value: Any) -> list[str]:
        if not isinstance(value, list) or not value or any(word not in known for word in value):
            given = value if isinstance(value, list) else []
            wrong = [word for word in given if isinstance(word, str) and word not in known]
            near = nearest.meant(wrong[0], known) if wrong else ""
            raise ValueError(f"give an array of some of {', '.join(known)}{near}")
        return list(value)

    return check


def word(characters: int) -> Check:
    """Accept a string of 1 to so many characters."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= characters:
            raise ValueError(f"give a string of 1 to {characters} characters")
        return value

    return check


def strings(most: int, characters: int) -> Check:
    """Accept an array of 1 to `most` strings of 1 to `characters` characters."""

    def check(value: Any) -> list[str]:
        fits = isinstance(value, list) and 1 <= len(value) <= most
        if not fits or not all(isinstance(t, str) and 1 <= len(t) <= characters for t in value):
            raise ValueError(
                f"give an array of 1 to {most} strings of 1 to {characters} characters"
            )
        return list(value)

    return check


def _invalid(sentence: str) -> Exception:
    return faults.fault(faults.INVALID_PARAMETERS, sentence)
