# SPDX-License-Identifier: GPL-2.0-or-later
"""One client's connection: HTTP as strictly as XML-RPC needs it.

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
from collections.abc import Mapping
from http import HTTPStatus
from http.client import LineTooLong
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from xmlrpc.server import SimpleXMLRPCRequestHandler

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.auth.caller import Caller
from kvmlog.rpcserver.auth.credentials import AccessDeniedError, StaleCredentialsError
from kvmlog.rpcserver.http.connections import Connection
from kvmlog.rpcserver.http.deadline import DeadlineReader, HeadReader
from kvmlog.rpcserver.log import log

if TYPE_CHECKING:
    from kvmlog.rpcserver.http.server import RpcServer

PATHS: Final = ("/", "/RPC2")
CONTENT_TYPES: Final = ("text/xml", "application/xml")

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="kvmlog"'}
_READ_BYTES: Final = 8192
_SHOWN_CHARACTERS: Final = 200
_DRAIN_BYTES: Final = 1024 * 1024
_DRAIN_S: Final = 1.0


class _RefusalError(Exception):
    """A request that is not taken."""

    def __init__(
        self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


class RpcHandler(SimpleXMLRPCRequestHandler):
    """Serves one connection; lives in its own thread."""

    protocol_version = "HTTP/1.1"
    # Never compress: it doubles the latency on loopback.
    encode_threshold = None  # type: ignore[assignment]  # None is documented, typeshed says int
    server: RpcServer

    def __init__(self, connection: socket.socket, entry: Connection, server: RpcServer) -> None:
        """Serves until the connection ends; entry: what server.connections knows of it."""
        self._entry = entry
        self._peer = entry.peer
        super().__init__(connection, entry.peer.address, server)

    def setup(self) -> None:
        """Puts a reader with deadlines in the place of the connection's own."""
        super().setup()
        self.rfile.close()
        self._limits = self.server.limits
        self._raw = DeadlineReader(self.connection, self._begun)
        self._stream = io.BufferedReader(self._raw, _READ_BYTES)
        self._refused = False

    def finish(self) -> None:
        """Ends the connection so that the client still gets to read a refusal."""
        if self._refused:
            with contextlib.suppress(OSError):
                self._drain()
        self.rfile = self._stream
        super().finish()

    def handle_one_request(self) -> None:
        """Reads and answers one request; a connection may carry several."""
        if not self.server.connections.idle(self._entry):
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
        """Reads the head; False for one that is refused, or not to be answered."""
        # Of a request that was sent ahead, no byte is still to come from the connection.
        if not self._begun():
            self.close_connection = True
            return False
        return super().parse_request()

    def do_POST(self) -> None:  # noqa: N802 - the name http.server looks for
        """Answers one call."""
        try:
            caller = self._known_caller()
            self._check_rate((caller.how, caller.name))
            length = self._checked_length()
            body = self._read_body(length)
        except _RefusalError as refusal:
            self._refuse(refusal.status, refusal.sentence, refusal.headers)
            return
        except StaleCredentialsError:
            # Unanswered, as if it had been idle too long: clients connect again by themselves.
            self.close_connection = True
            return
        reply = self.server.answer(body, caller)
        self.close_connection |= self._entry.ending
        self._send(HTTPStatus.OK, "text/xml; charset=utf-8", reply)

    def _not_allowed(self) -> None:
        self._refuse(
            HTTPStatus.METHOD_NOT_ALLOWED, f"{self.command} is not served here; POST a methodCall."
        )

    do_GET = do_HEAD = do_PUT = _not_allowed  # noqa: N815 - names http.server looks for
    do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = _not_allowed  # noqa: N815 - as above

    def handle_expect_100(self) -> bool:
        """Asks for the body only when it would be read."""
        try:
            self._known_caller()
            self._checked_length()
        except _RefusalError as refusal:
            self._refuse(refusal.status, refusal.sentence, refusal.headers)
            return False
        except StaleCredentialsError:
            self.close_connection = True
            return False
        return super().handle_expect_100()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuses with the stdlib's own finding, as plain text."""
        status = HTTPStatus(code)
        words = message or explain or status.description or status.phrase
        self._refuse(status, f"{words[:_SHOWN_CHARACTERS]}.")

    def version_string(self) -> str:
        """Returns the Server header: no versions of anything."""
        return "kvmlog"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base names it so
        """Writes one line to stderr; no line per answered call."""
        log(f"{self.client_name()} {format % args}")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing: refusals are logged where they happen, calls by their methods."""

    def client_name(self) -> str:
        """Returns the client's address and port, for the log."""
        return self._peer.address

    def _begun(self) -> bool:
        return self.server.connections.busy(self._entry)

    def _known_caller(self) -> Caller:
        """Returns who calls; raises _RefusalError for whoever may not call at all."""
        given = self.headers.get_all("Authorization")
        # Twice: neither is better than the other, and both together are no token.
        authorization = ", ".join(given) if given else None
        try:
            caller = self.server.credentials.caller(self._peer, self.connection, authorization)
        except AccessDeniedError as stranger:
            self._check_rate(self._peer.group)
            unknown = stranger.status == HTTPStatus.UNAUTHORIZED
            raise _RefusalError(
                stranger.status, stranger.sentence, _CHALLENGE if unknown else None
            ) from None
        self._entry.proven = True
        return caller

    def _check_rate(self, who: object) -> None:
        wait_s = self.server.wait_s(who)
        if wait_s > 0:
            raise _RefusalError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"More than {self._limits.requests_per_s:g} requests a second; call less often.",
                {"Retry-After": str(math.ceil(wait_s))},
            )

    def _checked_length(self) -> int:
        """Returns Content-Length in bytes; raises _RefusalError for a request not to be read."""
        if self.headers.defects:
            # The stdlib stops at such a line: what stands after it nobody has looked at.
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "A header line is no NAME: VALUE.")
        if self.path not in PATHS:
            raise _RefusalError(HTTPStatus.NOT_FOUND, f"POST to {' or '.join(PATHS)}.")
        if self.headers.get("Origin") is not None:
            # A web page: its user did not mean to switch tracing (CSRF, DNS rebinding).
            raise _RefusalError(HTTPStatus.FORBIDDEN, "Web pages may not call this server.")
        if self.headers.get_content_type() not in CONTENT_TYPES:
            raise _RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: text/xml.")
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body uncompressed.")
        if self.headers.get("Transfer-Encoding") is not None:
            raise _RefusalError(
                HTTPStatus.LENGTH_REQUIRED, "Send the body with a Content-Length, not in chunks."
            )
        lengths = self.headers.get_all("Content-Length")
        if not lengths:
            raise _RefusalError(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length.")
        text = lengths[0].strip()
        number = text.lstrip("0") or "0"
        if len(lengths) > 1 or not (text.isascii() and text.isdigit()):
            raise _RefusalError(
                HTTPStatus.BAD_REQUEST,
                f"Content-Length {faults.shown(', '.join(lengths))} is no number of bytes.",
            )
        most = self._limits.body_bytes
        # Compared by digits first: int() refuses, with an error of its own, what is too long.
        if len(number) > len(str(most)) or int(number) > most:
            raise _RefusalError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body may have {most} bytes, not {faults.shown(number)}.",
            )
        return int(number)

    def _read_body(self, length: int) -> bytes:
        try:
            body = self._stream.read(length)
        except TimeoutError:
            raise _RefusalError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The request did not arrive within {self._limits.request_s:g} s.",
            ) from None
        if len(body) < length:
            raise _RefusalError(
                HTTPStatus.BAD_REQUEST,
                f"The body ended after {len(body)} of {length} bytes.",
            )
        return body

    def _refuse(
        self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.server.log_sparingly(f"{self.client_name()} refused: {status:d} {sentence}")
        self.close_connection = True
        self._refused = True
        # Until a version was read the stdlib takes HTTP/0.9, whose replies have no head.
        self.request_version = self.protocol_version
        self._send(status, "text/plain; charset=utf-8", f"{sentence}\n".encode(), headers or {})

    def _send(
        self,
        status: HTTPStatus,
        content_type: str,
        body: bytes,
        headers: Mapping[str, str] = MappingProxyType({}),
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
        """Reads away what the client still sends.

        Closeable with bytes unread makes the kernel send a reset, which can
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
