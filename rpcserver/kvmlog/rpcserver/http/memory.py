# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory that large replies may take, from before they are made until they are sent.

A caller may have a part of it, so that others get the rest; a single reply that is larger than
that is made alone. Who has to wait is served in the order of arrival, except that nobody waits for
a caller who waits for replies of their own to be sent.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable
from typing import Final

from kvmlog.rpcserver.http.turns import OverShareError


class _Waiting:
    """A reply that waits for its memory."""

    def __init__(self, key: Hashable, size: int) -> None:
        self.key = key
        self.size = size
        self.ticket = threading.Lock()  # released to give the memory
        self.ticket.acquire()


class ReplyMemory:
    """So many bytes in all, of which one caller may have per_caller_bytes; thread-safe."""

    def __init__(self, total_bytes: int, per_caller_bytes: int) -> None:
        self._total_bytes: Final = total_bytes
        self._per_caller_bytes: Final = per_caller_bytes
        self._lock = threading.Lock()  # covers all that follows
        self._held: Counter[Hashable] = Counter()  # by caller
        self._waiting: list[_Waiting] = []

    def take(self, key: Hashable, size: int) -> bool:
        """Take memory for a caller's reply; return False when there is none now."""
        with self._lock:
            if self._waiting or not self._fits_caller(key, size) or not self._fits(size):
                return False
            self._held[key] += size
            return True

    def wait(self, key: Hashable, size: int, wait_s: float) -> None:
        """Wait for memory for a caller's reply; OverShareError when there is none in time."""
        one = _Waiting(key, size)
        with self._lock:
            self._waiting.append(one)
            self._grant()
        if one.ticket.acquire(timeout=wait_s):
            return
        with self._lock:
            if one in self._waiting:
                self._waiting.remove(one)
                # Those behind it may need less.
                self._grant()
                raise OverShareError

    def give_back(self, key: Hashable, size: int) -> None:
        """Return so much of what a caller has taken."""
        with self._lock:
            self._held[key] -= size
            if not self._held[key]:
                del self._held[key]
            self._grant()

    @property
    def held_bytes(self) -> int:
        """Return how much is taken."""
        return self._held.total()

    def _grant(self) -> None:
        for one in list(self._waiting):
            if not self._fits_caller(one.key, one.size):
                continue
            if not self._fits(one.size):
                return
            self._waiting.remove(one)
            self._held[one.key] += one.size
            one.ticket.release()

    def _fits_caller(self, key: Hashable, size: int) -> bool:
        return not self._held[key] or self._held[key] + size <= self._per_caller_bytes

    def _fits(self, size: int) -> bool:
        return not self._held or self._held.total() + size <= self._total_bytes
