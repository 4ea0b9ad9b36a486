# SPDX-License-Identifier: GPL-2.0-or-later
"""One call of one client, and what the table of methods holds of each method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kvmlog.rpcserver.auth.caller import Role


@dataclass(frozen=True)
class Call:
    """One call of one client."""

    ring_path: str
    switch_path: str
    client: str
    """Who called, for the log: "127.0.0.1:40312"."""

    parameters: tuple[Any, ...]

    who: object = None
    """The same caller in each of their calls, for limits: by name and how it was proved."""


@dataclass(frozen=True)
class Method:
    """An entry of the table.

    signatures: types of XML-RPC, that of the result first, as system.methodSignature gives them.
    """

    run: Callable[[Call], object]
    role: Role
    signatures: tuple[tuple[str, ...], ...]
    help: str

    def takes(self, count: int) -> bool:
        """Whether it can be called with so many parameters."""
        return any(len(signature) - 1 == count for signature in self.signatures)
