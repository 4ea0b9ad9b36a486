# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that may block for ever (a file system that hangs, a name server that is silent)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Aside(Generic[_T]):
    """Runs function() in a thread of its own, of which there is one at most.

    last: the result of the last run that has ended; None: none has.
    """

    def __init__(self, function: Callable[[], _T]) -> None:
        self.last: _T | None = None
        self._function = function
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin a run, unless one is under way."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="aside", daemon=True)
            self._thread.start()

    def get(self, wait_s: float) -> _T | None:
        """Return the result of a run; None where it takes longer than that."""
        self.begin()
        assert self._thread is not None
        self._thread.join(wait_s)
        return None if self._thread.is_alive() else self.last

    def _run(self) -> None:
        self.last = self._function()
