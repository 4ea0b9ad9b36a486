# SPDX-License-Identifier: GPL-2.0-or-later
"""Rate limits: token buckets per peer, shares of time, and log lines that cannot flood the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

Clock = Callable[[], float]


class TokenBuckets:
    """A token bucket per peer: `burst` calls at once, then `per_s`; thread-safe.

    Memory is bounded: beyond `most` peers those with full buckets are forgotten first, which
    makes no difference to them.
    """

    def __init__(
        self, per_s: float, burst: float, most: int = 4096, clock: Clock = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()  # covers _levels
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def wait_s(self, peer: Hashable) -> float:
        """Take a token and return 0, or return how long the peer should wait, in seconds."""
        now = self._clock()
        with self._lock:
            level = self._level(peer, now)
            if level < 1:
                return (1 - level) / self._per_s
            if peer not in self._levels and len(self._levels) >= self._most:
                self._forget(now)
            self._levels[peer] = (level - 1, now)
        return 0.0

    def _level(self, peer: Hashable, now: float) -> float:
        level, at = self._levels.get(peer, (self._burst, now))
        return min(self._burst, level + (now - at) * self._per_s)

    def _forget(self, now: float) -> None:
        full = [peer for peer in self._levels if self._level(peer, now) >= self._burst]
        # With none full the oldest entry goes: memory stays bounded in any case.
        for peer in full or [next(iter(self._levels))]:
            del self._levels[peer]


class TimeShare:
    """Costly work that others may request at will, limited to a `share` of the time."""

    def __init__(self, work: Callable[[], object], share: float, clock: Clock = time.monotonic):
        self._work = work
        self._rest = 1 / share - 1
        self._clock = clock
        self._rested_s = clock()

    def __call__(self) -> bool:
        """Run it, unless the last run was too recent for its cost; return whether it ran."""
        begin = self._clock()
        if begin < self._rested_s:
            return False
        self._work()
        end = self._clock()
        self._rested_s = end + (end - begin) * self._rest
        return True


class TimeAllowance:
    """Time for unauthenticated peers' work: `burst_s` at once, then a `share` of all time.

    Call is_left(), then do the work within `with`. A piece of work may overdraw the allowance,
    which has to be refilled before the next one. Not thread-safe.
    """

    def __init__(self, share: float, burst_s: float, clock: Clock = time.monotonic) -> None:
        self._share = share
        self._burst_s = self._left_s = burst_s
        self._clock = clock
        self._at = self._began = clock()

    def is_left(self) -> bool:
        """Return whether a piece of work may begin."""
        now = self._clock()
        self._left_s = min(self._burst_s, self._left_s + (now - self._at) * self._share)
        self._at = now
        return self._left_s > 0

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(self, *_: object) -> None:
        self._left_s -= self._clock() - self._began


class LogLimiter:
    """Log that passes a few lines on and counts the rest; the next that passes has the count."""

    def __init__(
        self,
        write: Callable[[str], None],
        per_s: float = 1.0,
        burst: float = 20.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._write = write
        self._bucket: Final = TokenBuckets(per_s, burst, clock=clock)
        self._lock = threading.Lock()  # covers _left_out
        self._left_out = 0

    def __call__(self, line: str) -> None:
        """Write the line, or only count it."""
        with self._lock:
            if self._bucket.wait_s(None) > 0:
                self._left_out += 1
                return
            left_out, self._left_out = self._left_out, 0
        if left_out:
            line += f" (and {left_out} such lines left out before)"
        self._write(line)
