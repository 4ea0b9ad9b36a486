# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of bridge and RPC server: one line per event on stderr, in plain words."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from datetime import datetime
from typing import TextIO


class Log:
    """Writes lines that begin with the program's name. Usable from any thread.

    Never waits: what cannot be written at once, because nobody reads a full pipe, is left out,
    and the next line tells how many were. (A line of over PIPE_BUF bytes may wait.)
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._lock = threading.Lock()  # covers _left_out
        self._left_out = 0

    def audit(self, sentence: str) -> None:
        """One line about who did what. It says when, local time with its offset (ISO 8601).

        Not to the journal, which does.
        """
        if not _is_journal():
            sentence = f"{datetime.now().astimezone().isoformat(timespec='seconds')} {sentence}"
        self(sentence)

    def __call__(self, sentence: str) -> None:
        """Writes one line; who closed stderr does not want it, and nothing fails for that."""
        stream = sys.stderr
        if stream is None:  # there was none from the start
            return
        with contextlib.suppress(OSError, ValueError), self._lock:
            if not _takes(stream):
                self._left_out += 1
                return
            if self._left_out:
                sentence += f" (and {self._left_out} lines left out before: nobody read them)"
                self._left_out = 0
            print(f"{self._program}: {sentence}", file=stream, flush=True)


def _is_journal() -> bool:
    """Whether stderr is the stream that systemd has connected to the journal (systemd.exec(5))."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream = os.fstat(sys.stderr.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
    return False


def _takes(stream: TextIO) -> bool:
    """Whether writing a line will not wait."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream of Python's own
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


log = Log("kvmlog bridge")
