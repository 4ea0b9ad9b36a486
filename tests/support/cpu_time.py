# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time spent on purpose, for tests of what is charged to whom."""

from __future__ import annotations

import time
from collections.abc import Callable

MS = 1_000_000


def spend(cpu_ns: int, doing: Callable[[], object] = lambda: None) -> None:
    """Does it again and again, until this thread has taken so much CPU time."""
    end_ns = time.thread_time_ns() + cpu_ns
    while time.thread_time_ns() < end_ns:
        doing()
