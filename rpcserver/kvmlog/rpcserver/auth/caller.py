# SPDX-License-Identifier: GPL-2.0-or-later
"""Callers and their roles. Documented in docs/rpc.md, "Who may call"."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Role(enum.Flag):
    """A right that a caller has; each method names the one that it needs."""

    READ = enum.auto()
    """See records, statistics, guests, VMs, what happened and what the bridge does."""

    SWITCH = enum.auto()
    """Switch tracing, for all guests or some; enable, disable and force down services."""


ALL_ROLES: Final = Role.READ | Role.SWITCH
NO_ROLES: Final = Role(0)


@dataclass(frozen=True)
class Caller:
    """An authenticated peer. str() gives what each audit line says of them."""

    name: str
    """The name of the user, of the token, or in the certificate; printable ASCII."""

    roles: Role

    how: str
    """How they were authenticated: "root", "owner" (the server's own user), "group", "token",
    "certificate"."""

    address: str
    """Where the call came from: "127.0.0.1:40312", "[::1]:40312"."""

    @property
    def key(self) -> tuple[str, str]:
        """The same for all connections of this caller, for limits."""
        return self.how, self.name

    def may(self, role: Role) -> bool:
        """Return whether this caller has all of `role`."""
        return role in self.roles

    def __str__(self) -> str:
        how = "" if self.how == self.name else f" by {self.how}"
        return f"{self.address} ({self.name}{how})"
