# SPDX-License-Identifier: GPL-2.0-or-later
"""Places for calls that take seconds: so many at once, of which so many of one caller."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Hashable, Iterator

from kvmlog.rpcserver import faults


class Places:
    """The places of one kind of call; thread-safe. calls: what they are, in the plural's words."""

    def __init__(self, most: int, most_of_caller: int, calls: str) -> None:
        self._most = most
        self._most_of_caller = most_of_caller
        self._calls = calls
        self._lock = threading.Lock()  # covers _held
        self._held: Counter[Hashable] = Counter()  # calls under way of each caller

    @contextlib.contextmanager
    def hold(self, caller: Hashable) -> Iterator[None]:
        """Hold a place; Fault BUSY when all, or all that one caller may have, are taken."""
        with self._lock:
            if self._held[caller] >= self._most_of_caller:
                self._refuse(f"{self._most_of_caller} calls of yours")
            if self._held.total() >= self._most:
                self._refuse(f"{self._most} calls")
            self._held[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[caller] -= 1
                # Callers are not remembered for good.
                if not self._held[caller]:
                    del self._held[caller]

    def remembered(self) -> int:
        """Return how many callers hold places, or are remembered."""
        return len(self._held)

    def _refuse(self, calls: str) -> None:
        raise faults.fault(faults.BUSY, f"{calls} of {self._calls} are under way; try again later.")
