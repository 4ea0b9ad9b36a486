# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of owners as kvmlog.toml has them: "PROJECT cores=20 ram_mib=51200 instances=10"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

from kvmlog.config.keys import RefusedValueError

# Any owner that has no limits of its own.
ANY: Final = "*"
MOST: Final = 2**31 - 1
_EXAMPLE: Final = f'"PROJECT cores=20 ram_mib=51200 instances=10", PROJECT "{ANY}": any other'


@dataclass(frozen=True)
class OwnerLimits:
    """The limits of one owner; None: there is none."""

    cores: int | None = None
    ram_mib: int | None = None
    instances: int | None = None


_NAMES: Final = tuple(one.name for one in fields(OwnerLimits))


def parse(lines: Iterable[str]) -> dict[str, OwnerLimits]:
    """Return the limits by project id; RefusedValueError."""
    found: dict[str, OwnerLimits] = {}
    for line in lines:
        owner, *words = line.split() or [""]
        if not owner or "=" in owner or not words:
            raise RefusedValueError(f"{line!r}: give an owner and limits, as in {_EXAMPLE}")
        if owner in found:
            raise RefusedValueError(f"{owner} is there twice; give it once")
        given: dict[str, int] = {}
        for word in words:
            name, _, value = word.partition("=")
            digits = value.isascii() and value.isdigit() and len(value) <= len(str(MOST))
            if name not in _NAMES or name in given or not digits or int(value) > MOST:
                raise RefusedValueError(
                    f"{word!r}: give each of {', '.join(_NAMES)} at most once, =0 to ={MOST}"
                )
            given[name] = int(value)
        found[owner] = OwnerLimits(**given)
    return found
