# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop of a recording: polls a ring until it is to end, for whatever reason."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from kvmlog.cli.record.progress import Progress
from kvmlog.cli.record.tracing import Tracing
from kvmlog.exits.format.notes import counted
from kvmlog.recording.feed import Feed, Taken
from kvmlog.recording.writer import RecordingWriter
from kvmlog.ring.filter import SLOTS

POLL_S: Final = 0.05
# What waits is written so often: so much a killed recorder loses.
_FLUSH_S: Final = 1.0
# Of many losses one is told at once, the sum in the end.
_TELL_S: Final = 10.0
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

REPLACED: Final = "the ring was replaced; what the old one got last is not recorded"


class Stop:
    """Whether a signal has asked for the end; made by until_signal()."""

    def __init__(self) -> None:
        self.came = False

    def wait(self, seconds: float) -> bool:
        """Wait so long; return whether it came."""
        if not self.came:
            time.sleep(seconds)
        return self.came


@contextlib.contextmanager
def until_signal() -> Iterator[Stop]:
    """Provide a Stop that SIGINT, SIGTERM and SIGHUP set in place of ending the process."""
    stop = Stop()

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.came = True

    before = {}
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Loop:
    """Everything that is done again and again while records are recorded.

    limit_s: for so long, None: without limit.
    """

    def __init__(
        self,
        feed: Feed,
        writer: RecordingWriter,
        tracing: Tracing,
        progress: Progress,
        limit_s: float | None,
    ) -> None:
        self._feed = feed
        self._writer = writer
        self._tracing = tracing
        self._progress = progress
        self._ends_s = None if limit_s is None else time.monotonic() + limit_s
        self._flushed_s = time.monotonic()
        self._told_s = -_TELL_S

    def run(self, ended: Callable[[float], bool]) -> str:
        """Record until ended(seconds to wait) or the time is over; return why it ended."""
        while True:
            taken = self._turn()
            left_s = POLL_S if taken < SLOTS // 4 else 0.0
            if self._ends_s is not None:
                over_s = self._ends_s - time.monotonic()
                if over_s <= 0:
                    return "the time is over"
                left_s = min(left_s, over_s)
            if ended(left_s):
                return "it was ended"

    def finish(self) -> None:
        """Take what has come until now."""
        late_s = self._tracing.late_s()
        self._tracing.end()
        time.sleep(min(late_s, 1.0))
        self._note(self._feed.take_all(self._writer))
        self._feed.describe(self._writer)

    def _turn(self) -> int:
        taken = self._feed.take(self._writer)
        self._note(taken)
        if time.monotonic() - self._flushed_s >= _FLUSH_S:
            self._flushed_s = time.monotonic()
            self._writer.flush()
        self._tracing.keep()
        self._progress.show(self._writer)
        return taken.searched

    def _note(self, taken: Taken) -> None:
        if taken.replaced:
            self._progress.say(REPLACED)
        if taken.overwritten and time.monotonic() - self._told_s >= _TELL_S:
            self._told_s = time.monotonic()
            self._progress.say(
                f"{counted(taken.overwritten, 'record')} were overwritten before they were read; "
                "a larger ring (kvmlog bridge --slots) gives more time"
            )
