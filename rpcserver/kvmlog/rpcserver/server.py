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
from dataclasses import dataclass
from typing import Any, Final
from xmlrpc.client import Fault, dumps
from xmlrpc.server import SimpleXMLRPCServer

import defusedxml.xmlrpc

from kvmlog.bridge.errors import KvmlogError
from kvmlog.bridge.rate import Buckets, Sparing
from kvmlog.rpcserver import faults, methods
from kvmlog.rpcserver.caller import Caller
from kvmlog.rpcserver.credentials import Credentials
from kvmlog.rpcserver.handler import RpcHandler
from kvmlog.rpcserver.limits import BURST_S, Limits
from kvmlog.rpcserver.log import log
from kvmlog.rpcserver.parse import parse_call
from kvmlog.rpcserver.peers import Peer, Places, identify

_BUSY_WORDS: Final = b"Too many connections; try again in a second.\n"
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: close\r\nRetry-After: 1\r\n\r\n%s"
    % (len(_BUSY_WORDS), _BUSY_WORDS)
)


class ServerError(KvmlogError):
    """The server cannot start; the sentence says why and what to do."""


@dataclass
class _Connection:
    """One that is open."""

    socket: socket.socket  # its end of file can be made from another thread
    trusted: bool
    settled: bool = False  # its handshake is over


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
        self.log_sparingly = Sparing(log, per_s=5.0, burst=100.0)
        self._places = Places(limits.connections_per_peer)
        rate = limits.requests_per_s
        self._rates = Buckets(rate, rate * BURST_S) if rate else None
        self._ring_path = ring_path
        self._switch_path = switch_path
        self._lock = threading.Lock()  # covers _connections
        self._connections: dict[threading.Thread, _Connection] = {}
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

        Connections of TLS begin anew: who is at their other end was verified by the old ones.
        A handshake under way is not torn: clients do not repeat one by themselves, as they do a
        request. What it proved to the old ones counts for none: see Credentials.caller().
        """
        self.credentials = credentials
        if credentials.context is not None:
            self._end_reading(handshakes=False)

    def wait_s(self, who: object) -> float:
        """Returns 0 for one more request of `who`, or how long they should wait, in seconds."""
        return self._rates.wait_s(who) if self._rates else 0.0

    def answer(self, body: bytes, caller: Caller) -> bytes:
        """Returns the reply to one call, a result or a fault, as XML."""
        try:
            name, parameters = parse_call(body, self.limits.depth)
            self._check_role(name, caller)
            who = (caller.how, caller.name)
            call = methods.Call(self._ring_path, self._switch_path, str(caller), parameters, who)
            result = methods.call_method(name, call)
            return dumps((result,), methodresponse=True).encode("utf-8")  # type: ignore[arg-type]
        except Fault as fault:
            return dumps(fault, methodresponse=True).encode("utf-8")
        except Exception:  # noqa: BLE001 - a defect must not take the connection with it
            log(f"{caller} internal error\n{traceback.format_exc().rstrip()}")
            defect = faults.fault(faults.INTERNAL, "Internal error; the server's log has it.")
            return dumps(defect, methodresponse=True).encode("utf-8")

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives a new connection its thread, or refuses it when there are too many."""
        peer = identify(request, client_address)
        # Who could stop the server anyway has connections that nobody else can use up.
        trusted = peer.uid in (0, os.geteuid())
        if not trusted and not self._places.take(peer.group):
            self._refuse_busy(request, peer, f"{self.limits.connections_per_peer} of this peer")
            return
        # Of TLS the connection itself must not be touched from here: see finish_calls().
        held = request.dup() if self.credentials.context else request
        thread = threading.Thread(
            target=self._serve_connection, args=(request, peer, trusted), daemon=True
        )
        with self._lock:
            alike = sum(one.trusted is trusted for one in self._connections.values())
            full = alike >= self.limits.connections
            if not full:
                self._connections[thread] = _Connection(held, trusted)
        if not full:
            with contextlib.suppress(RuntimeError):  # the system has no thread to give
                thread.start()
                return
        self._forget(thread, request, peer, trusted)
        if full and held is not request:
            held.close()
        self._refuse_busy(request, peer, str(self.limits.connections))

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
        threads = self._end_reading(handshakes=True)
        end = time.monotonic() + self.limits.stop_s
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _end_reading(self, *, handshakes: bool) -> list[threading.Thread]:
        """Has each connection's thread read an end of file after the request it is at.

        handshakes: also those that are still at their handshake. Returns all threads.
        """
        with self._lock:
            # Under the lock: what is forgotten may be closed, and its number another file's.
            for connection in self._connections.values():
                if connection.settled or handshakes:
                    with contextlib.suppress(OSError):
                        connection.socket.shutdown(socket.SHUT_RD)
            return list(self._connections)

    def _check_role(self, name: str, caller: Caller) -> None:
        """Raises Fault for a method that there is not, or that this caller may not call."""
        role = methods.find(name).role
        if not caller.may(role):
            wanted = " and ".join(str(one.name).lower() for one in role)
            self.log_sparingly(f"{caller} may not call {name}: no right to {wanted}")
            raise faults.fault(
                faults.NOT_ALLOWED,
                f"{caller.name} ({caller.how}) is not allowed to call {name}; it takes the right "
                f"to {wanted}.",
            )

    def _serve_connection(self, request: socket.socket, peer: Peer, trusted: bool) -> None:
        connection = request
        try:
            context = self.credentials.context
            if context is not None:
                request.settimeout(self.limits.handshake_s)
                connection = context.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
                # Its timeout is one for the whole handshake.
                connection.do_handshake()
                with self._lock:
                    self._connections[threading.current_thread()].settled = True
            RpcHandler(connection, peer, self)
        except Exception:  # noqa: BLE001 - the thread's outermost frame: logged, never raised
            self.handle_error(connection, peer.address)
        finally:
            self.shutdown_request(connection)
            self._forget(threading.current_thread(), connection, peer, trusted)

    def _forget(
        self, thread: threading.Thread, connection: socket.socket, peer: Peer, trusted: bool
    ) -> None:
        """Makes room for the next one."""
        if not trusted:
            self._places.give_back(peer.group)
        with self._lock:
            known = self._connections.pop(thread, None)
        if known is not None and known.socket is not connection:
            known.socket.close()

    def _refuse_busy(self, request: socket.socket, peer: Peer, words: str) -> None:
        self.log_sparingly(f"{peer.address} refused: 503, {words} connections are open")
        with contextlib.suppress(OSError):
            request.setblocking(False)
            # TLS has not begun: what speaks it only sees the end.
            if self.credentials.context is None:
                request.send(_BUSY)
        self.shutdown_request(request)
