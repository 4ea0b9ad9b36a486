# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bridge answers, asked once for all calls of a moment.

Calls that come while the bridge is being asked share the answer, and those that come within
FRESH_S after it was asked get it again. Failures are not kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

from kvmlog.rpcserver.methods.call import Call

FRESH_S: Final = 0.05

_Answer = TypeVar("_Answer")


class SharedAnswer(Generic[_Answer]):
    """One question to the bridge, with the answer that all calls share; thread-safe."""

    def __init__(self, ask: Callable[[str], _Answer]) -> None:
        """ask: asks the bridge behind a socket; it may take seconds, and raise SwitchError."""
        self._ask = ask
        self._lock = threading.Lock()  # covers both
        self._asked: dict[str, tuple[float, _Answer]] = {}  # by socket: when, what it answered
        self._asking: dict[str, Future[_Answer]] = {}

    def get(self, call: Call) -> _Answer:
        """Return the answer, FRESH_S old at most; raises what asking does."""
        path, now_s = call.switch_path, time.monotonic()
        with self._lock:
            known = self._asked.get(path)
            if known is not None and now_s - known[0] < FRESH_S:
                return known[1]
            under_way = self._asking.get(path)
            if under_way is None:
                ours = self._asking[path] = Future()
        with call.work.waiting():
            if under_way is not None:
                return under_way.result()
            try:
                answer = self._ask(path)
            except BaseException as error:
                self._end(path, now_s, None)
                ours.set_exception(error)
                raise
            self._end(path, now_s, answer)
            ours.set_result(answer)
            return answer

    def forget(self, path: str) -> None:
        """Have the next call ask: what was answered is known to hold no longer."""
        with self._lock:
            self._asked.pop(path, None)

    def _end(self, path: str, asked_s: float, answer: _Answer | None) -> None:
        with self._lock:
            del self._asking[path]
            if answer is not None:
                self._asked[path] = (asked_s, answer)
