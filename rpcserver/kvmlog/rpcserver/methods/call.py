# SPDX-License-Identifier: GPL-2.0-or-later
"""One call of one client, as the methods get it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call of one client."""

    ring_path: str
    switch_path: str
    client: str
    """The caller, for the log: "127.0.0.1:40312 (root)"."""

    parameters: tuple[Any, ...]

    caller_key: Hashable = None
    """The same in each call of this caller, for limits."""
