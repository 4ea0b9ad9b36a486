# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a client's bytes within bounds of time and of size.

A timeout per recv() is no bound: a client that sends one byte a second holds its
thread for ever. Here a whole request has one deadline, and its head a budget.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import Final

_READ_BYTES: Final = 16 * 1024
# What the largest request takes in packets of any usual size; after that, bytes are let pile up.
_FREE_RECEIVES: Final = 64
_PAUSE_S: Final = 0.01
_HEAD_END: Final = re.compile(rb"\n\r?\n")
# The longest end of a head, but for its last byte: it may have come in two parts.
_SPLIT_BYTES: Final = 2


class HeadTooLongError(Exception):
    """A head that is longer than its budget."""


class RequestStream:
    """The requests that come from a connection, one after the other.

    Once a deadline has passed, reading raises TimeoutError within a request, and ends as if the
    client had closed when no request had begun: an idle connection simply ends.
    """

    def __init__(self, connection: socket.socket, begun: Callable[[], bool]) -> None:
        """begun: called at the first bytes of a request; False ends the connection instead."""
        self._connection = connection
        self._begun = begun
        self._buffer = b""
        self._deadline = 0.0
        self._receives = 0

    def head(self, first_byte_s: float, then_s: float, budget_bytes: int) -> bytes | None:
        """Return the next request's head, its empty line included; None at the connection's end.

        It may wait first_byte_s for the first byte, then then_s for all the rest, the body too.
        HeadTooLongError for more than budget_bytes.
        """
        data = self._buffer
        if not data:
            self._deadline = time.monotonic() + first_byte_s
            try:
                data = self._receive()
            except TimeoutError:
                return None
        self._receives = 0
        # Where the bytes had come with the last request, it begins here all the same.
        if not data or not self._begun():
            return None
        self._deadline = time.monotonic() + then_s
        searched = 0
        while (end := _HEAD_END.search(data, searched)) is None:
            if len(data) > budget_bytes:
                raise HeadTooLongError
            searched = max(0, len(data) - _SPLIT_BYTES)
            more = self._receive()
            if not more:
                return None
            data += more
        if end.end() > budget_bytes:
            raise HeadTooLongError
        self._buffer = data[end.end() :]
        return data[: end.end()]

    def body(self, length: int) -> bytes:
        """Return the request's body, shorter where the client closed within it."""
        parts = [self._buffer]
        left = length - len(self._buffer)
        while left > 0:
            more = self._receive()
            if not more:
                break
            parts.append(more)
            left -= len(more)
        data = b"".join(parts) if len(parts) > 1 else parts[0]
        self._buffer = data[length:]
        return data[:length]

    def drain(self, most_bytes: int, most_s: float) -> None:
        """Read and discard what still comes, within these bounds."""
        self._deadline = time.monotonic() + most_s
        self._buffer = b""
        drained = 0
        while drained < most_bytes:
            more = self._receive()
            if not more:
                return
            drained += len(more)

    def _receive(self) -> bytes:
        self._receives += 1
        if self._receives > _FREE_RECEIVES:
            # Byte by byte, above all in TLS records, a request takes far more time than whole.
            time.sleep(_PAUSE_S)
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left_s)
        return self._connection.recv(_READ_BYTES)
