# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP on one connection, as strictly as XML-RPC needs it.

Every refusal is an HTTP status with one sentence of plain text, after which the
connection is closed: what follows a request that was not understood could be
anything.
"""

from __future__ import annotations

import contextlib
import email.utils
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from socketserver import BaseServer
from typing import Final
from xmlrpc.server import SimpleXMLRPCRequestHandler

from kvmlog.rpcserver.http.connections import Connection, Connections
from kvmlog.rpcserver.http.head import Head, body_length, parse_head
from kvmlog.rpcserver.http.service import (
    NO_HEADERS,
    RefusalError,
    Service,
    Session,
    StaleCredentialsError,
)
from kvmlog.rpcserver.http.stream import HeadTooLongError, RequestStream
from kvmlog.rpcserver.http.work import Accounts, Work
from kvmlog.rpcserver.limits import Limits

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_XML: Final = "text/xml; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
# Head and reply go out together up to this size: one packet, one wake-up of the client.
_JOINED_BYTES: Final = 64 * 1024
_BATCH_BYTES: Final = 512 * 1024
_DRAIN_BYTES: Final = 1024 * 1024
_DRAIN_S: Final = 1.0


@dataclass(frozen=True)
class Shared:
    """The state that all connections share; safe to use from any thread."""

    limits: Limits
    service: Service
    connections: Connections[threading.Thread]
    accounts: Accounts
    log_sparingly: Callable[[str], None]


class RpcHandler(SimpleXMLRPCRequestHandler):
    """Serves one connection, in a thread of its own."""

    def __init__(
        self, connection: socket.socket, entry: Connection, shared: Shared, server: BaseServer
    ) -> None:
        """Serve until the connection ends; entry: the connection in shared.connections."""
        self._entry = entry
        self._peer = entry.peer
        self._shared = shared
        self._limits = shared.limits
        # The last head that was accepted: on a kept connection the next one is the same.
        self._accepted: tuple[bytes, Head, int] | None = None
        self._bodiless = False
        self._refused = False
        super().__init__(connection, entry.peer.address, server)

    def setup(self) -> None:
        """Prepare the connection; the stdlib's own streams have no deadlines, and are not used."""
        self.connection = self.request
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._stream = RequestStream(
            self.connection, lambda: self._shared.connections.busy(self._entry)
        )

    def finish(self) -> None:
        """End the connection so that the client still gets to read a refusal."""
        if self._refused:
            # Closing with bytes unread makes the kernel send a reset, which can overtake it.
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)
                self._stream.drain(_DRAIN_BYTES, _DRAIN_S)

    def handle_one_request(self) -> None:
        """Read and answer one request; a connection may carry several."""
        self.close_connection = True
        if not self._shared.connections.idle(self._entry):
            return
        try:
            data = self._stream.head(
                self._limits.idle_s, self._limits.request_s, self._limits.head_bytes
            )
            if data is not None:
                self._answer(data)
        except HeadTooLongError:
            most = self._limits.head_bytes
            self._refuse(
                RefusalError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"Request line and headers may have {most} bytes together.",
                )
            )
        except RefusalError as refusal:
            self._refuse(refusal)
        except StaleCredentialsError:
            # Closed without a reply, as an idle connection is: clients connect again by themselves.
            return

    def _answer(self, data: bytes) -> None:
        """Answer one call; data: its head."""
        known = self._accepted
        head = known[1] if known and known[0] == data else parse_head(data)
        self._bodiless = head.method == HTTPMethod.HEAD
        session = self._authenticate(head)
        self._shared.accounts.count_request(session.rate_key)
        length = known[2] if known and known[1] is head else body_length(head, self._limits)
        self._accepted = (data, head, length)
        if head.asks:
            self.connection.settimeout(self._limits.reply_s)
            self.connection.sendall(_CONTINUE)
        body = self._read_body(length)
        work = Work(self._shared.accounts, session.rate_key)
        try:
            with work:
                reply = session.answer(body, work)
                size = sum(map(len, reply))
                work.made(size)
            self.close_connection = not head.persistent or self._entry.ending
            self._send(HTTPStatus.OK, _XML, reply, size)
        finally:
            work.sent()

    def _authenticate(self, head: Head) -> Session:
        """Return the caller's session; raises RefusalError for whoever may not call at all."""
        # Given twice: neither is better than the other, and both together are no token.
        authorization = head.get("authorization") if "authorization" in head.headers else None
        try:
            session = self._shared.service.authenticate(self._peer, self.connection, authorization)
        except RefusalError:
            # Before it is refused: what is refused costs time as well.
            self._shared.accounts.count_request(self._peer.group)
            raise
        self._entry.authenticated = True
        return session

    def _read_body(self, length: int) -> bytes:
        try:
            body = self._stream.body(length)
        except TimeoutError:
            raise RefusalError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The request did not arrive within {self._limits.request_s:g} s.",
            ) from None
        if len(body) < length:
            raise RefusalError(
                HTTPStatus.BAD_REQUEST,
                f"The body ended after {len(body)} of {length} bytes.",
            )
        return body

    def _refuse(self, refusal: RefusalError) -> None:
        self._shared.log_sparingly(
            f"{self._peer.address} refused: {refusal.status:d} {refusal.sentence}"
        )
        self.close_connection = True
        self._refused = True
        text = f"{refusal.sentence}\n".encode()
        self._send(refusal.status, _TEXT, [text], len(text), refusal.headers)

    def _send(
        self,
        status: HTTPStatus,
        content_type: str,
        pieces: Sequence[bytes],
        size: int,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """Send a reply of `size` bytes in all."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if self.close_connection:
            lines += "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {status:d} {status.phrase}\r\nServer: kvmlog\r\nDate: {_date()}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {size}\r\n{lines}\r\n"
        ).encode()
        self.connection.settimeout(self._limits.reply_s)
        if self._bodiless:
            self.connection.sendall(head)
        elif size <= _JOINED_BYTES:
            self.connection.sendall(b"".join((head, *pieces)))
        else:
            end = time.monotonic() + self._limits.reply_s
            for piece in _batches((head, *pieces)):
                self.connection.settimeout(max(0.001, end - time.monotonic()))
                self.connection.sendall(piece)


def _batches(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces joined to larger ones: after each the thread has to wait for its turn."""
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= _BATCH_BYTES:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)


_last_date: tuple[int, str] = (0, "")


def _date() -> str:
    """Return the time as the Date header has it, made once a second."""
    global _last_date
    now_s = int(time.time())
    last = _last_date
    if last[0] != now_s:
        last = _last_date = (now_s, email.utils.formatdate(now_s, usegmt=True))
    return last[1]
