# SPDX-License-Identifier: GPL-2.0-or-later
"""Scrapes as bytes, each for all who asked before it was begun.

A client that has given up leaves its request behind, on a busy host again and again. Were each of
them made, the queue would never end: the first that is made is the answer to all that waited.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry

Encode: TypeAlias = Callable[[CollectorRegistry], bytes]

_FAST: Final = 1
_KEPT_S: Final = 5.0


class _Made(NamedTuple):
    began_s: float
    body: bytes


class Scrapes:
    """Scrapes of a registry; thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()  # covers _made; held while one is made, for others to have it
        self._made: dict[tuple[Encode, bool], _Made] = {}

    def get(self, encode: Encode, packed: bool, asked_s: float) -> bytes:
        """Return a scrape that was begun at asked_s (time.monotonic()) or later.

        encode: its format; packed: with gzip.
        """
        with self._lock:
            found = self._made.get((encode, packed))
            if found is None or found.began_s < asked_s:
                began_s = time.monotonic()
                body = encode(self._registry)
                found = _Made(began_s, gzip.compress(body, _FAST) if packed else body)
                self._made[encode, packed] = found
            return found.body

    def tidy(self) -> None:
        """Forget those that nobody can be waiting for any more; waits for nobody."""
        if not self._made or not self._lock.acquire(blocking=False):
            return
        try:
            now_s = time.monotonic()
            for key in [key for key, one in self._made.items() if now_s - one.began_s > _KEPT_S]:
                del self._made[key]
        finally:
            self._lock.release()
