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
    """Writer of lines that begin with the program's name; thread-safe.

    Never blocks: a line that cannot be written at once, because nobody reads a full pipe, is left
    out, and the next line says how many were. (A line of more than PIPE_BUF bytes may block.)
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._lock = threading.Lock()  # covers _left_out
        self._left_out = 0

    def audit(self, sentence: str) -> None:
        """Write a line about who did what, with the local time and its offset (ISO 8601).

        The journal has times of its own and gets none.
        """
        if not _is_journal():
            sentence = f"{datetime.now().astimezone().isoformat(timespec='seconds')} {sentence}"
        self(sentence)

    def __call__(self, sentence: str) -> None:
        """Write one line; do nothing where stderr is closed."""
        stream = sys.stderr
        if stream is None:  # the process was started without one
            return
        with contextlib.suppress(OSError, ValueError), self._lock:
            if not _is_writable(stream):
                self._left_out += 1
                return
            if self._left_out:
                sentence += f" (and {self._left_out} lines left out before: nobody read them)"
                self._left_out = 0
            print(f"{self._program}: {sentence}", file=stream, flush=True)


def _is_journal() -> bool:
    """Return whether stderr is systemd's stream to the journal (systemd.exec(5))."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream = os.fstat(sys.stderr.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
    return False


def _is_writable(stream: TextIO) -> bool:
    """Return whether a line can be written without blocking."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream in memory has no descriptor
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


log = Log("kvmlog bridge")
