# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP on one connection, as strictly as XML-RPC needs it.

Every refusal is an HTTP status with one sentence of plain text, after which the
connection is closed: what follows a request that was not understood could be
anything.
"""

from __future__ import annotations

import contextlib
import io
import math
import socket
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import LineTooLong
from socketserver import BaseServer
from typing import Any, Final
from xmlrpc.server import SimpleXMLRPCRequestHandler

from kvmlog.rpcserver import faults, log
from kvmlog.rpcserver.http.connections import Connection, Connections
from kvmlog.rpcserver.http.deadline import DeadlineReader, HeadReader
from kvmlog.rpcserver.http.service import (
    NO_HEADERS,
    RefusalError,
    Service,
    Session,
    StaleCredentialsError,
)
from kvmlog.rpcserver.limits import Limits
from kvmlog.util.ratelimit import TokenBuckets

PATHS: Final = ("/", "/RPC2")
CONTENT_TYPES: Final = ("text/xml", "application/xml")

_READ_BYTES: Final = 8192
_SHOWN_CHARACTERS: Final = 200
_DRAIN_BYTES: Final = 1024 * 1024
_DRAIN_S: Final = 1.0


@dataclass(frozen=True)
class Shared:
    """The state that all connections share; safe to use from any thread."""

    limits: Limits
    service: Service
    connections: Connections
    rates: TokenBuckets | None
    """Requests of each caller; None: no limit."""

    log_sparingly: Callable[[str], None]


class RpcHandler(SimpleXMLRPCRequestHandler):
    """Serves one connection, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    # Never compress: it doubles the latency on loopback.
    encode_threshold = None  # type: ignore[assignment]  # None is documented, typeshed says int

    def __init__(
        self, connection: socket.socket, entry: Connection, shared: Shared, server: BaseServer
    ) -> None:
        """Serve until the connection ends; entry: the connection in shared.connections."""
        self._entry = entry
        self._peer = entry.peer
        self._shared = shared
        self._limits = shared.limits
        super().__init__(connection, entry.peer.address, server)

    def setup(self) -> None:
        """Replace the connection's reader by one with deadlines."""
        super().setup()
        self.rfile.close()
        self._raw = DeadlineReader(self.connection, self._begun)
        self._stream = io.BufferedReader(self._raw, _READ_BYTES)
        self._refused = False

    def finish(self) -> None:
        """End the connection so that the client still gets to read a refusal."""
        if self._refused:
            with contextlib.suppress(OSError):
                self._drain()
        self.rfile = self._stream
        super().finish()

    def handle_one_request(self) -> None:
        """Read and answer one request; a connection may carry several."""
        if not self._shared.connections.idle(self._entry):
            self.close_connection = True
            return
        self._raw.allow(self._limits.idle_s, self._limits.request_s)
        # The stdlib only ever calls readline() on it: see HeadReader.
        self.rfile = HeadReader(self._stream, self._limits.head_bytes)  # type: ignore[assignment]
        try:
            super().handle_one_request()
        except LineTooLong:
            self.requestline = self.command = ""
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def parse_request(self) -> bool:
        """Read the head; return False when it is refused or not to be answered."""
        # A pipelined request has been read already: no byte of it will call DeadlineReader.begun.
        if not self._begun():
            self.close_connection = True
            return False
        return super().parse_request()

    def do_POST(self) -> None:  # noqa: N802 - the name http.server looks for
        """Answer one call."""
        try:
            session = self._authenticate()
            self._check_rate(session.rate_key)
            length = self._checked_length()
            body = self._read_body(length)
        except RefusalError as refusal:
            self._refuse(refusal.status, refusal.sentence, refusal.headers)
            return
        except StaleCredentialsError:
            # Closed without a reply, as an idle connection is: clients connect again by themselves.
            self.close_connection = True
            return
        reply = session.answer(body)
        self.close_connection |= self._entry.ending
        self._send(HTTPStatus.OK, "text/xml; charset=utf-8", reply)

    def _not_allowed(self) -> None:
        self._refuse(
            HTTPStatus.METHOD_NOT_ALLOWED, f"{self.command} is not served here; POST a methodCall."
        )

    do_GET = do_HEAD = do_PUT = _not_allowed  # noqa: N815 - names http.server looks for
    do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = _not_allowed  # noqa: N815 - as above

    def handle_expect_100(self) -> bool:
        """Ask for the body only when it would be read."""
        try:
            self._authenticate()
            self._checked_length()
        except RefusalError as refusal:
            self._refuse(refusal.status, refusal.sentence, refusal.headers)
            return False
        except StaleCredentialsError:
            self.close_connection = True
            return False
        return super().handle_expect_100()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse with the stdlib's own message, as plain text."""
        status = HTTPStatus(code)
        words = message or explain or status.description or status.phrase
        self._refuse(status, f"{words[:_SHOWN_CHARACTERS]}.")

    def version_string(self) -> str:
        """Return the Server header, which names no version."""
        return "kvmlog"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base names it so
        """Log one line; answered calls get none."""
        log(f"{self.client_name()} {format % args}")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: refusals are logged where they happen, calls by their methods."""

    def client_name(self) -> str:
        """Return the client's address and port, for the log."""
        return self._peer.address

    def _begun(self) -> bool:
        return self._shared.connections.busy(self._entry)

    def _authenticate(self) -> Session:
        """Return the caller's session; raises RefusalError for whoever may not call at all."""
        given = self.headers.get_all("Authorization")
        # Twice: neither is better than the other, and both together are no token.
        authorization = ", ".join(given) if given else None
        try:
            session = self._shared.service.authenticate(self._peer, self.connection, authorization)
        except RefusalError:
            # Before it is refused: what is refused costs time as well.
            self._check_rate(self._peer.group)
            raise
        self._entry.authenticated = True
        return session

    def _check_rate(self, key: Hashable) -> None:
        """Raise RefusalError when too many requests have come from there."""
        wait_s = self._shared.rates.wait_s(key) if self._shared.rates else 0.0
        if wait_s > 0:
            raise RefusalError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"More than {self._limits.requests_per_s:g} requests a second; call less often.",
                {"Retry-After": str(math.ceil(wait_s))},
            )

    def _checked_length(self) -> int:
        """Return Content-Length in bytes; raises RefusalError for a request not to be read."""
        if self.headers.defects:
            # The stdlib stops at such a line: what stands after it nobody has looked at.
            raise RefusalError(HTTPStatus.BAD_REQUEST, "A header line is no NAME: VALUE.")
        if self.path not in PATHS:
            raise RefusalError(HTTPStatus.NOT_FOUND, f"POST to {' or '.join(PATHS)}.")
        if self.headers.get("Origin") is not None:
            # A web page: its user did not mean to switch tracing (CSRF, DNS rebinding).
            raise RefusalError(HTTPStatus.FORBIDDEN, "Web pages may not call this server.")
        if self.headers.get_content_type() not in CONTENT_TYPES:
            raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: text/xml.")
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body uncompressed.")
        if self.headers.get("Transfer-Encoding") is not None:
            raise RefusalError(
                HTTPStatus.LENGTH_REQUIRED, "Send the body with a Content-Length, not in chunks."
            )
        lengths = self.headers.get_all("Content-Length")
        if not lengths:
            raise RefusalError(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length.")
        text = lengths[0].strip()
        number = text.lstrip("0") or "0"
        if len(lengths) > 1 or not (text.isascii() and text.isdigit()):
            raise RefusalError(
                HTTPStatus.BAD_REQUEST,
                f"Content-Length {faults.shown(', '.join(lengths))} is no number of bytes.",
            )
        most = self._limits.body_bytes
        # Compared by digits first: int() refuses, with an error of its own, what is too long.
        if len(number) > len(str(most)) or int(number) > most:
            raise RefusalError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body may have {most} bytes, not {faults.shown(number)}.",
            )
        return int(number)

    def _read_body(self, length: int) -> bytes:
        try:
            body = self._stream.read(length)
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

    def _refuse(
        self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        self._shared.log_sparingly(f"{self.client_name()} refused: {status:d} {sentence}")
        self.close_connection = True
        self._refused = True
        # Until a version was read the stdlib takes HTTP/0.9, whose replies have no head.
        self.request_version = self.protocol_version
        self._send(status, "text/plain; charset=utf-8", f"{sentence}\n".encode(), headers)

    def _send(
        self,
        status: HTTPStatus,
        content_type: str,
        body: bytes,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self.connection.settimeout(self._limits.reply_s)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "POST")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _drain(self) -> None:
        """Read and discard what the client still sends.

        Closing with bytes unread makes the kernel send a reset, which can
        overtake the refusal on its way to the client.
        """
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self._raw.allow(_DRAIN_S, _DRAIN_S)
        end = time.monotonic() + _DRAIN_S
        drained = 0
        while drained < _DRAIN_BYTES and time.monotonic() < end:
            chunk = self._stream.read1(_READ_BYTES)
            if not chunk:
                return
            drained += len(chunk)
