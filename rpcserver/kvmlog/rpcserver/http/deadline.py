# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a client's bytes within bounds of time and of size.

A timeout per recv() is no bound: a client that sends one byte a second holds its
thread for ever. Here a whole request has one deadline, and its head a budget.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from http.client import LineTooLong
from typing import Any


class DeadlineReader(io.RawIOBase):
    """The raw byte stream of a connection, with a deadline.

    Once that has passed it raises TimeoutError within a request, and returns end of file when no
    request had begun: an idle connection simply ends.
    """

    def __init__(self, connection: socket.socket, begun: Callable[[], bool]) -> None:
        """begun: called at the first bytes of a request; False ends the connection instead."""
        super().__init__()
        self._connection = connection
        self._begun = begun
        self._deadline = 0.0
        self._after_first_byte: float | None = None

    def allow(self, first_byte_s: float, then_s: float) -> None:
        """Start a request: so long for its first byte, then so long for all the rest."""
        self._deadline = time.monotonic() + first_byte_s
        self._after_first_byte = then_s

    def readable(self) -> bool:
        """Return True, as io expects of a raw reader."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with received bytes; return their number, 0 at the end."""
        left_s = self._deadline - time.monotonic()
        try:
            if left_s <= 0:
                raise TimeoutError("the request took too long")
            self._connection.settimeout(left_s)
            count = self._connection.recv_into(buffer)
        except TimeoutError:
            if self._after_first_byte is None:
                raise
            return 0
        if count and self._after_first_byte is not None:
            if not self._begun():
                return 0
            self._deadline = time.monotonic() + self._after_first_byte
            self._after_first_byte = None
        return count


class HeadReader:
    """The stream that http.server and http.client read a request's head from: lines, bounded."""

    def __init__(self, stream: io.BufferedReader[DeadlineReader], budget_bytes: int) -> None:
        self._stream = stream
        self._budget_bytes = budget_bytes

    def readline(self, limit: int = -1) -> bytes:
        """Return one line; raises LineTooLong once the head has used up its budget."""
        most = self._budget_bytes + 1
        line = self._stream.readline(most if limit < 0 else min(limit, most))
        self._budget_bytes -= len(line)
        if self._budget_bytes < 0:
            raise LineTooLong("request head")
        return line
