# SPDX-License-Identifier: GPL-2.0-or-later
"""Configuration keys: their type, default, bounds and help, and the check of a value.

A key is a field of one of the dataclasses in kvmlog.config.schema, made by key().
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, get_type_hints
from urllib.parse import urlsplit

from kvmlog.util.errors import KvmlogError

_KEY: Final = "kvmlog.key"
_MOST_INT: Final = 2**63  # https://toml.io/en/v1.0.0#integer
# TOML's own words for the types that keys have.
_TYPE_WORDS: Final = {
    str: 'a string in "quotes"',
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: 'a list of strings, ["like", "this"]',
}
# By the end of a key's name; the longer first.
_UNITS: Final = {"_per_s": " per second", "_s": " s", "_percent": " %"}


class RefusedValueError(KvmlogError):
    """A value that a key does not take; the message says what is allowed, not which key it is."""


@dataclass(frozen=True)
class Key:
    """One key; name and type are those of its field."""

    section: str
    name: str
    type: type
    default: Any
    help: str
    option: str | None
    commands: tuple[str, ...]
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    check: Callable[[Any], None] | None
    live: bool
    metavar: str | None

    @property
    def full(self) -> str:
        """The key as "section.name", as in messages and `kvmlog config show`."""
        return f"{self.section}.{self.name}"

    def value(self, given: object) -> Any:
        """Return the value as the section's field holds it; RefusedValueError for a wrong one."""
        # TOML's reader takes numbers that no float is large enough for.
        if self.type in (int, float) and type(given) is int and abs(given) > _MOST_INT:
            raise RefusedValueError("give a smaller number")
        if self.type is float and type(given) is int:
            given = float(given)
        if self.type is tuple:
            if not isinstance(given, list | tuple) or not all(type(one) is str for one in given):
                raise RefusedValueError(f"give {_TYPE_WORDS[tuple]}")
            given = tuple(given)
        elif type(given) is not self.type:
            raise RefusedValueError(f"give {_TYPE_WORDS[self.type]}")
        for one in given if isinstance(given, tuple) else (given,):
            if isinstance(one, str) and not (one.isprintable() and len(one) <= 4096):
                raise RefusedValueError("give at most 4096 characters, all of them printable")
        if self.choices and given not in self.choices:
            raise RefusedValueError(f"give {_listed(self.choices)}")
        if isinstance(given, int | float) and not self._within(given):
            raise RefusedValueError(f"give {self._allowed()}")
        if self.check is not None:
            self.check(given)
        return given

    def of_option(self, typed: object) -> Any:
        """Return the value of an option: text, a list of texts, or a bool; RefusedValueError."""
        if self.type not in (int, float) or not isinstance(typed, str):
            return self.value(typed)
        try:
            given = self.type(typed)
        except ValueError:
            allowed = f", {self._allowed()}" if self._allowed() else ""
            raise RefusedValueError(f"give {_TYPE_WORDS[self.type]}{allowed}") from None
        return self.value(given)

    def bounds(self) -> str:
        """Return the bounds as text, "1 to 64"; "" for a key without."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:.15g} to {self.high:.15g}"

    def _allowed(self) -> str:
        """Return bounds and unit, "1 to 64 s"."""
        unit = next((unit for ending, unit in _UNITS.items() if self.name.endswith(ending)), "")
        return f"{self.bounds()}{unit}"

    def _within(self, given: float) -> bool:
        if not math.isfinite(given):
            return False
        return (self.low is None or given >= self.low) and (self.high is None or given <= self.high)


def key(
    default: Any,
    help: str,  # noqa: A002 - argparse's word for it
    *,
    option: str | None = None,
    commands: Sequence[str] = (),
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    check: Callable[[Any], None] | None = None,
    live: bool = False,
    metavar: str | None = None,
) -> Any:
    """Return a field of a section's dataclass that describes a key.

    help: one phrase, for the default file, docs/operations.md and --help. commands: which of
    "bridge", "rpc", ... use it; option: their option. low and high: inclusive bounds, both or
    none. check: raises RefusedValueError where type, bounds and choices are not enough. live:
    SIGHUP applies it.
    """
    return field(
        default=default,
        metadata={
            _KEY: {
                "help": help,
                "option": option,
                "commands": tuple(commands),
                "low": low,
                "high": high,
                "choices": tuple(choices),
                "check": check,
                "live": live,
                "metavar": metavar,
            }
        },
    )


def keys_of(section: str, kind: type) -> list[Key]:
    """Return the keys of a section's dataclass, in their order."""
    hints = get_type_hints(kind)
    found = []
    for one in fields(kind):
        if one.default is MISSING:
            raise TypeError(f"{section}.{one.name}: a key without a default")
        hint = hints[one.name]
        base = tuple if isinstance(hint, types.GenericAlias) else hint
        found.append(Key(section, one.name, base, one.default, **one.metadata[_KEY]))
    return found


def power_of_two(low: int, high: int) -> Callable[[int], None]:
    """Return a check that takes the powers of two from low to high."""

    def check(given: int) -> None:
        if given & (given - 1) or not low <= given <= high:
            raise RefusedValueError(f"give a power of two from {low} to {high}")

    return check


def address(given: str) -> None:
    """Check for HOST:PORT, IPv6 in brackets; the server decides which hosts are allowed."""
    host, _, port = given.rpartition(":")
    plain = host.removeprefix("[").removesuffix("]")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not plain or not digits or int(port) > 65535 or (":" in plain) != (host != plain):
        raise RefusedValueError("give HOST:PORT with a port from 0 to 65535, IPv6 in [brackets]")


def optional_address(given: str) -> None:
    """Check for "" or what address() takes."""
    if given:
        address(given)


def optional_url(given: str) -> None:
    """Check for "" or a URL of HTTP, with a host and nothing secret in it."""
    if not given:
        return
    try:
        parts = urlsplit(given)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname)
        # Raises for a port that is none.
        sound = sound and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or " " in given:
        raise RefusedValueError("give http://HOST:PORT/PATH, or https://")
    if parts.username is not None or parts.password is not None:
        raise RefusedValueError("give no password in a URL, which everybody sees; use a header")


def absolute(given: str) -> None:
    """Check for an absolute path: a service has no working directory of its own."""
    if not given.startswith("/"):
        raise RefusedValueError('give a path that begins with "/"')


def optional_absolute(given: str) -> None:
    """Check for "" or what absolute() takes."""
    if given:
        absolute(given)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}"
