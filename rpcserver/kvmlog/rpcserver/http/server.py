# SPDX-License-Identifier: GPL-2.0-or-later
"""The server: a bounded number of connections, with one thread each."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final
from xmlrpc.server import SimpleXMLRPCServer

import defusedxml.xmlrpc

from kvmlog.rpcserver import log
from kvmlog.rpcserver.http.connections import Connection, Connections
from kvmlog.rpcserver.http.handler import RpcHandler, Shared
from kvmlog.rpcserver.http.handshake import shake_hands
from kvmlog.rpcserver.http.peers import Peer, identify
from kvmlog.rpcserver.http.service import Service
from kvmlog.rpcserver.http.work import Accounts
from kvmlog.rpcserver.limits import Limits
from kvmlog.util.errors import KvmlogError
from kvmlog.util.shortage import shortage

# How long a connection waits that there is no descriptor for, before the next look.
_SHORTAGE_S: Final = 0.1
_BUSY_TEXT: Final = b"Too many connections; try again in a second.\n"
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: close\r\nRetry-After: 1\r\n\r\n%s"
    % (len(_BUSY_TEXT), _BUSY_TEXT)
)


class ServerError(KvmlogError):
    """The server cannot start; the sentence says why and what to do."""


class RpcServer(SimpleXMLRPCServer):
    """Listens on (host, port) at once; serve_forever() serves until shutdown()."""

    request_queue_size = 128

    def __init__(
        self,
        host: str,
        port: int,
        limits: Limits,
        service: Service,
        log_sparingly: Callable[[str], None],
    ) -> None:
        """Bind the address; ServerError when it cannot be had.

        log_sparingly: takes refusals, of which clients can cause any number.
        """
        # For whatever in this process still uses the stdlib's own parser.
        defusedxml.xmlrpc.monkey_patch()
        self.connections: Connections[threading.Thread] = Connections(limits)
        self.accounts = Accounts(limits)
        self._shared = Shared(limits, service, self.connections, self.accounts, log_sparingly)
        self._limits = limits
        self._service = service
        self._log_sparingly = log_sparingly
        self._last_round_s = time.monotonic()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), RpcHandler, logRequests=False)
        except OSError as error:
            raise ServerError(
                f"cannot listen on {host} port {port}: {error.strerror}; "
                "is another kvmlog rpc running? --listen takes another port"
            ) from error

    def url(self) -> str:
        """Return the address served, with the port that was chosen: "http://127.0.0.1:50080/"."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else host
        scheme = "https" if self._service.tls else "http"
        return f"{scheme}://{shown!s}:{port}/"

    def renew_connections(self) -> None:
        """Have TLS connections begin anew, after the service's credentials were replaced.

        Their peers were verified by the old credentials. No connection is cut within a request, nor
        within a handshake, which clients do not repeat by themselves: one that is completed with
        the old credentials ends at its first request (StaleCredentialsError).
        """
        if self._service.tls is not None:
            self.connections.end(beginning=False)

    def service_actions(self) -> None:
        """Note that serve_forever() has done a round, and tidy up."""
        self._service.tidy()
        self._last_round_s = time.monotonic()

    def is_alive(self, within_s: float) -> bool:
        """Return whether connections are accepted: serve_forever() did a round within this time."""
        return time.monotonic() - self._last_round_s < within_s

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; without a descriptor for it, say so and let others end first."""
        try:
            return super().get_request()
        except OSError as error:
            sentence = shortage(error)
            if sentence is not None:
                self._log_sparingly(f"a connection has to wait: {sentence}")
                # It stays in the queue, for which serve_forever() would ask at once again.
                time.sleep(_SHORTAGE_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a new connection its thread, or refuse it when there are too many."""
        peer = identify(request, client_address)
        # Whoever could stop the server anyway has connections that nobody else can use up.
        trusted = peer.uid in (0, os.geteuid())
        # A duplicate, since TLS takes the socket over: to end the connection from another thread.
        connection = Connection(request.dup(), peer, trusted=trusted)
        thread = threading.Thread(
            target=self._serve_connection, args=(request, connection), daemon=True
        )
        full = self.connections.admit(connection, thread)
        if not full:
            with contextlib.suppress(RuntimeError):  # the system has no thread to give
                thread.start()
                return
        self.connections.forget(connection)
        self._refuse_busy(request, peer, full or "all that there is memory for")

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Log what ended a connection: one line for a network error, a traceback for a defect."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._log_sparingly(f"{client_address} connection ended: {error}")
        else:
            log(f"{client_address} {traceback.format_exc().rstrip()}")

    def finish_calls(self) -> None:
        """Wait for calls under way, for limits.stop_s at most; idle connections end at once.

        To be called after shutdown().
        """
        threads = self.connections.end(beginning=True)
        end = time.monotonic() + self._limits.stop_s
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _serve_connection(self, request: socket.socket, connection: Connection) -> None:
        stream: Any = request
        try:
            context = self._service.tls
            if context is not None:
                stream = context.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
                account = ("handshakes", connection.peer.group)
                shake_hands(stream, self.accounts.turns, account, self._limits.handshake_s)
            RpcHandler(stream, connection, self._shared, self)
        except Exception:  # noqa: BLE001 - the thread's outermost frame: logged, never raised
            self.handle_error(stream, connection.peer.address)
        finally:
            self.shutdown_request(stream)
            self.connections.forget(connection)
            if connection.evicted:
                self._log_sparingly(
                    f"{connection.peer.address} ended: it had shown no credential, and another "
                    "connection needed its slot"
                )

    def _refuse_busy(self, request: socket.socket, peer: Peer, count: str) -> None:
        self._log_sparingly(f"{peer.address} refused: 503, {count} connections are open")
        with contextlib.suppress(OSError):
            request.setblocking(False)
            # Before its handshake a client with TLS can read no text: it only sees the end.
            if self._service.tls is None:
                request.send(_BUSY)
        self.shutdown_request(request)
