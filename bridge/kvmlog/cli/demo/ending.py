# SPDX-License-Identifier: GPL-2.0-or-later
"""Early end of a demo: by Ctrl-C, by SIGTERM, or when its terminal goes away."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SIGNALLED: Final = 128  # and the signal's number, as shells report it


class Ended(BaseException):
    """Somebody asked for the end; no error, and nothing that handles errors catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """Return the status that a shell reports for a program ended by the signal."""
        return _SIGNALLED + self.number


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise Ended in the block at the first of these signals, and ignore the later ones.

    One that is ignored, as nohup has it, stays so.
    """
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    taken = [number for number in _NUMBERS if before[number] != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def deaf() -> None:
    """Ignore these signals once ending has begun."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _frame: FrameType | None) -> None:
    # A terminal that goes away sends more than one.
    deaf()
    raise Ended(number)
