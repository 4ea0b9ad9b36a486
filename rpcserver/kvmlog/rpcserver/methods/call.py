# SPDX-License-Identifier: GPL-2.0-or-later
"""One call of one client, as the methods get it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from kvmlog.config.schema.vms import LimitsKeys
from kvmlog.rpcserver.http.service import Work

# Calls a method, by its name and parameters, for the same caller; raises Fault.
Dispatch: TypeAlias = Callable[[object, tuple[Any, ...]], object]


@dataclass(frozen=True)
class HistoryPaths:
    """Where the history is, and where the process that writes it takes changes of services."""

    file: str
    socket: str


NO_HISTORY: Final = HistoryPaths("/nonexistent/history", "/nonexistent/socket")


@dataclass(frozen=True)
class Call:
    """One call of one client."""

    ring_path: str
    switch_path: str
    vmstats_path: str
    history: HistoryPaths
    limits: LimitsKeys

    client: str
    """The caller, for the log: "127.0.0.1:40312 (root)"."""

    parameters: tuple[Any, ...]

    caller_key: Hashable
    """The same in each call of this caller, for limits."""

    work: Work
    """The account of the request; a method that waits does so within work.waiting()."""

    dispatch: Dispatch
    """How a method calls others."""
