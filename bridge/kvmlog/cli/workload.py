# SPDX-License-Identifier: GPL-2.0-or-later
"""A command that `kvmlog stat` and `kvmlog record` run and observe, as perf does.

Ctrl-C and Ctrl-\\ go to all of the terminal's foreground processes, so the command gets them by
itself: here they are only kept from ending the observation. SIGTERM and SIGHUP come to this process
alone and are passed on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Final

from kvmlog.util.errors import KvmlogError

CANNOT_RUN: Final = 126
NOT_FOUND: Final = 127
SIGNALLED: Final = 128  # and the signal's number, as shells report it

_KEPT: Final = (signal.SIGINT, signal.SIGQUIT)
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)


class CommandError(KvmlogError):
    """The command could not be started; `status`: the exit status of a shell in that case."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Command:
    """A running command; made by running()."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._descriptor = os.pidfd_open(process.pid)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait at most so long (None: without limit); return whether it has ended."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        return bool(ready)

    @property
    def status(self) -> int:
        """Wait for the end; return the exit status, 128 + n if signal n ended it."""
        status = self._process.wait()
        return SIGNALLED - status if status < 0 else status

    def close(self) -> None:
        """Wait for the end, and release the descriptor."""
        self._process.wait()
        os.close(self._descriptor)


@contextlib.contextmanager
def running(arguments: Sequence[str]) -> Iterator[Command]:
    """Start a command on this process's own stdin, stdout and stderr; CommandError.

    Signals are handled as described above until the block ends, which waits for the command.
    """
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    with contextlib.ExitStack() as stack:
        for number in _KEPT:
            stack.enter_context(_handled(number, lambda *_: None))
        for number in _PASSED_ON:
            stack.enter_context(_handled(number, pass_on))
        process = _started(arguments)
        command = Command(process)
        stack.callback(command.close)
        while early:
            process.send_signal(early.pop())
        yield command


@contextlib.contextmanager
def _handled(number: signal.Signals, handler: signal._HANDLER) -> Iterator[None]:
    # Ignored, as nohup has it, stays so, here and in the command. A handler is back to the
    # default in the command.
    if signal.getsignal(number) == signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _started(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(arguments)
    except OSError as error:
        missing = error.errno == errno.ENOENT
        status = NOT_FOUND if missing else CANNOT_RUN
        remedy = "give its path, or look at PATH" if missing else "give a program that can be run"
        raise CommandError(
            f"{arguments[0]}: cannot be run ({error.strerror or error}); {remedy}", status
        ) from None
