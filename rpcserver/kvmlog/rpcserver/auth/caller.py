# SPDX-License-Identifier: GPL-2.0-or-later
"""Who calls, how that is known, and what it allows. Documented in docs/rpc.md, "Who may call"."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Role(enum.Flag):
    """What a caller may do; each method names the one that it needs."""

    READ = enum.auto()
    """See records, statistics, guests and what the bridge does."""

    SWITCH = enum.auto()
    """Switch tracing, for all guests or some."""


ALL_ROLES: Final = Role.READ | Role.SWITCH
NO_ROLES: Final = Role(0)


@dataclass(frozen=True)
class Caller:
    """One peer whose name is known: what str() gives stands in each audit line."""

    name: str
    """Of the user, the token, or the certificate's subject; printable ASCII."""

    roles: Role

    how: str
    """What the name was learnt from: "root", "owner" (the server's own user), "group", "token",
    "certificate"."""

    address: str
    """Where the call came from: "127.0.0.1:40312", "[::1]:40312"."""

    def may(self, role: Role) -> bool:
        """Whether all of `role` is among what this caller may do."""
        return role in self.roles

    def __str__(self) -> str:
        how = "" if self.how == self.name else f" by {self.how}"
        return f"{self.address} ({self.name}{how})"
