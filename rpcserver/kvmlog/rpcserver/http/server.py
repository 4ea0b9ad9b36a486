# SPDX-License-Identifier: GPL-2.0-or-later
"""The server: a bounded number of connections, one thread each, and the calls they make."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import traceback
from typing import Any, Final
from xmlrpc.client import Fault, dumps
from xmlrpc.server import SimpleXMLRPCServer

import defusedxml.xmlrpc

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.auth.caller import Caller
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.http.connections import Connection, Connections
from kvmlog.rpcserver.http.handler import RpcHandler
from kvmlog.rpcserver.http.parse import parse_call
from kvmlog.rpcserver.http.peers import Peer, identify
from kvmlog.rpcserver.limits import BURST_S, Limits
from kvmlog.rpcserver.log import log
from kvmlog.rpcserver.methods import table
from kvmlog.util.errors import KvmlogError
from kvmlog.util.ratelimit import LogLimiter, TokenBuckets

_BUSY_WORDS: Final = b"Too many connections; try again in a second.\n"
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: close\r\nRetry-After: 1\r\n\r\n%s"
    % (len(_BUSY_WORDS), _BUSY_WORDS)
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
        ring_path: str,
        switch_path: str,
        limits: Limits,
        credentials: Credentials,
    ) -> None:
        """Raises ServerError when the address cannot be had.

        credentials: replaced while the server runs by recredit().
        """
        # For whatever in this process still uses the stdlib's own parser.
        defusedxml.xmlrpc.monkey_patch()
        self.limits = limits
        self.credentials = credentials
        self.log_sparingly = LogLimiter(log.audit, per_s=5.0, burst=100.0)
        self.connections = Connections(limits)
        rate = limits.requests_per_s
        self._rates = TokenBuckets(rate, rate * BURST_S) if rate else None
        self._ring_path = ring_path
        self._switch_path = switch_path
        self._turned_s = time.monotonic()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), RpcHandler, logRequests=False)
        except OSError as error:
            raise ServerError(
                f"cannot listen on {host} port {port}: {error.strerror}; "
                "is another kvmlog rpc running? --listen takes another port"
            ) from error

    def url(self) -> str:
        """Returns the address served, with the port that was chosen: "http://127.0.0.1:50080/"."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else host
        scheme = "https" if self.credentials.context else "http"
        return f"{scheme}://{shown!s}:{port}/"

    def recredit(self, credentials: Credentials) -> None:
        """Takes other credentials, which count from the next request on.

        Connections of TLS begin anew: who is at their other end was verified by the old ones. None
        is torn in a request, nor in a handshake, which clients do not repeat by themselves; what
        one proved to the old ones counts for nothing: see Credentials.caller().
        """
        self.credentials = credentials
        if credentials.context is not None:
            self.connections.end(beginning=False)

    def wait_s(self, who: object) -> float:
        """Returns 0 for one more request of `who`, or how long they should wait, in seconds."""
        return self._rates.wait_s(who) if self._rates else 0.0

    def answer(self, body: bytes, caller: Caller) -> bytes:
        """Returns the reply to one call, a result or a fault, as XML."""
        try:
            name, parameters = parse_call(body, self.limits.depth)
            self._check_role(name, caller)
            who = (caller.how, caller.name)
            call = table.Call(self._ring_path, self._switch_path, str(caller), parameters, who)
            result = table.call_method(name, call)
            return dumps((result,), methodresponse=True).encode("utf-8")  # type: ignore[arg-type]
        except Fault as fault:
            return dumps(fault, methodresponse=True).encode("utf-8")
        except Exception:  # noqa: BLE001 - a defect must not take the connection with it
            log(f"{caller} internal error\n{traceback.format_exc().rstrip()}")
            defect = faults.fault(faults.INTERNAL, "Internal error; the server's log has it.")
            return dumps(defect, methodresponse=True).encode("utf-8")

    def service_actions(self) -> None:
        """Notes, as serve_forever() does its rounds, that it does."""
        self._turned_s = time.monotonic()

    def turns(self, within_s: float) -> bool:
        """Whether connections are being accepted: serve_forever() did a round so lately."""
        return time.monotonic() - self._turned_s < within_s

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives a new connection its thread, or refuses it when there are too many."""
        peer = identify(request, client_address)
        # Who could stop the server anyway has connections that nobody else can use up.
        trusted = peer.uid in (0, os.geteuid())
        # TLS takes the socket itself for its own; this is to end it from another thread.
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
        """Logs what ended a connection: a line for the network's faults, a traceback for ours."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self.log_sparingly(f"{client_address} connection ended: {error}")
        else:
            log(f"{client_address} {traceback.format_exc().rstrip()}")

    def finish_calls(self) -> None:
        """Lets calls under way finish, for limits.stop_s at most; idle connections end at once.

        To be called after shutdown().
        """
        threads = self.connections.end(beginning=True)
        end = time.monotonic() + self.limits.stop_s
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _check_role(self, name: str, caller: Caller) -> None:
        """Raises Fault for a method that there is not, or that this caller may not call."""
        role = table.find(name).role
        if not caller.may(role):
            wanted = " and ".join(str(one.name).lower() for one in role)
            self.log_sparingly(f"{caller} may not call {name}: no right to {wanted}")
            raise faults.fault(
                faults.NOT_ALLOWED,
                f"{caller.name} ({caller.how}) is not allowed to call {name}; it takes the right "
                f"to {wanted}.",
            )

    def _serve_connection(self, request: socket.socket, connection: Connection) -> None:
        link = request
        try:
            context = self.credentials.context
            if context is not None:
                request.settimeout(self.limits.handshake_s)
                link = context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                # Its timeout is one for the whole handshake.
                link.do_handshake()
            RpcHandler(link, connection, self)
        except Exception:  # noqa: BLE001 - the thread's outermost frame: logged, never raised
            self.handle_error(link, connection.peer.address)
        finally:
            self.shutdown_request(link)
            self.connections.forget(connection)
            if connection.evicted:
                self.log_sparingly(
                    f"{connection.peer.address} ended: it had shown no credential, and its place "
                    "was wanted"
                )

    def _refuse_busy(self, request: socket.socket, peer: Peer, words: str) -> None:
        self.log_sparingly(f"{peer.address} refused: 503, {words} connections are open")
        with contextlib.suppress(OSError):
            request.setblocking(False)
            # TLS has not begun: what speaks it only sees the end.
            if self.credentials.context is None:
                request.send(_BUSY)
        self.shutdown_request(request)
