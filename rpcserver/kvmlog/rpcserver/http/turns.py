# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns to compute, shared fairly among callers by the CPU time that each has used.

One interpreter lock serves all threads: whoever computes delays everybody else. So few compute at
a time, one thread of each caller at most, whatever the number of their connections; when there are
more callers than turns, that one is next that has used the least CPU time (start-time fair
queueing, Goyal et al. 1996). A caller who was idle gains nothing by it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

_REMEMBERED: Final = 256


class OverShareError(Exception):
    """The caller's own calls before this one have taken too long."""


class _Caller:
    """A caller's account."""

    __slots__ = ("running", "used_s", "waiting")

    def __init__(self) -> None:
        self.used_s = 0.0  # CPU time, or more for those who were idle: never behind all others
        self.running = False
        self.waiting: deque[threading.Lock] = deque()  # each is released to give the turn

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiting


class Turns:
    """A limit of `at_once` turns at a time, one of each caller; thread-safe."""

    def __init__(self, at_once: int, clock: Callable[[], float] = time.thread_time) -> None:
        """clock: the CPU time of the calling thread in seconds."""
        self._free = self._at_once = at_once
        self._clock = clock
        self._lock = threading.Lock()  # covers all that follows
        self._callers: dict[Hashable, _Caller] = {}
        self._reached_s = 0.0  # what the caller who was served last had used at that moment

    def take(self, key: Hashable, wait_s: float) -> float:
        """Wait for a turn of this caller; return the thread's clock, for give_back().

        OverShareError when none comes within wait_s.
        """
        with self._lock:
            caller = self._callers.get(key)
            if caller is None:
                self._forget()
                caller = self._callers[key] = _Caller()
            if caller.idle:
                caller.used_s = max(caller.used_s, self._reached_s)
                if self._free:
                    self._start(caller)
                    return self._clock()
            ticket = threading.Lock()
            ticket.acquire()
            caller.waiting.append(ticket)
        if not ticket.acquire(timeout=wait_s):
            with self._lock:
                # Otherwise it was given just now.
                if ticket in caller.waiting:
                    caller.waiting.remove(ticket)
                    raise OverShareError
        return self._clock()

    def give_back(self, key: Hashable, since_s: float) -> None:
        """End the turn of this thread that began at since_s, and give it to the next."""
        used_s = self._clock() - since_s
        with self._lock:
            caller = self._callers[key]
            caller.used_s += used_s
            caller.running = False
            self._free += 1
            self._grant()
            if self._free == self._at_once:
                # Nobody is served and nobody waits: all begin alike.
                self._callers.clear()
                self._reached_s = 0.0
            elif caller.idle and caller.used_s <= self._reached_s:
                del self._callers[key]

    def _grant(self) -> None:
        while self._free:
            ready = [one for one in self._callers.values() if one.waiting and not one.running]
            if not ready:
                return
            # Of several that have used as much, the first.
            caller = min(ready, key=lambda one: one.used_s)
            self._start(caller)
            caller.waiting.popleft().release()

    def _start(self, caller: _Caller) -> None:
        caller.running = True
        self._free -= 1
        self._reached_s = max(self._reached_s, caller.used_s)

    def _forget(self) -> None:
        """Keep memory bounded: forget what idle callers have used."""
        if len(self._callers) >= _REMEMBERED:
            self._callers = {key: one for key, one in self._callers.items() if not one.idle}
