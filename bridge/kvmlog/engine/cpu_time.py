# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time that the bridge takes for tracing, apart from what it takes to answer others.

Whoever may send a command, or a datagram that is refused, takes the bridge's time; charged to
tracing that would end it (docs/switch.md, "The budget").
"""

from __future__ import annotations

import time


class CpuTimeMeter:
    """The CPU time of one thread within `with`, and of all others, which serve nobody.

    All calls come from that one thread. `with` may stand within `with`.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._began_ns = 0
        self._spent_ns = 0

    def __enter__(self) -> None:
        if not self._depth:
            self._began_ns = time.thread_time_ns()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._spent_ns += time.thread_time_ns() - self._began_ns

    def ns(self) -> int:
        """Return the CPU time until now, of ended threads too; only its differences matter."""
        thread_ns = time.thread_time_ns()
        ours_ns = self._spent_ns + (thread_ns - self._began_ns if self._depth else 0)
        return time.process_time_ns() - thread_ns + ours_ns
