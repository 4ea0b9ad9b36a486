# SPDX-License-Identifier: GPL-2.0-or-later
"""The server: a bounded number of connections, one thread each, and the calls they make."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
import traceback
from typing import Any, Final
from xmlrpc.client import Fault, dumps
from xmlrpc.server import SimpleXMLRPCServer

import defusedxml.xmlrpc

from kvmlog.bridge.errors import KvmlogError
from kvmlog.rpcserver import faults, methods
from kvmlog.rpcserver.handler import RpcHandler
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.log import log
from kvmlog.rpcserver.parse import parse_call

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
        self, host: str, port: int, ring_path: str, switch_path: str, limits: Limits
    ) -> None:
        """Raises ServerError when the address cannot be had."""
        # For whatever in this process still uses the stdlib's own parser.
        defusedxml.xmlrpc.monkey_patch()
        self.limits = limits
        self._ring_path = ring_path
        self._switch_path = switch_path
        self._lock = threading.Lock()  # covers _connections
        self._connections: dict[threading.Thread, socket.socket] = {}
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
        return f"http://{shown!s}:{port}/"

    def answer(self, body: bytes, client: str) -> bytes:
        """Returns the reply to one call, a result or a fault, as XML."""
        try:
            name, parameters = parse_call(body, self.limits.depth)
            call = methods.Call(self._ring_path, self._switch_path, client, parameters)
            result = methods.call_method(name, call)
            return dumps((result,), methodresponse=True).encode("utf-8")  # type: ignore[arg-type]
        except Fault as fault:
            return dumps(fault, methodresponse=True).encode("utf-8")
        except Exception:  # noqa: BLE001 - a defect must not take the connection with it
            log(f"{client} internal error\n{traceback.format_exc().rstrip()}")
            defect = faults.fault(faults.INTERNAL, "Internal error; the server's log has it.")
            return dumps(defect, methodresponse=True).encode("utf-8")

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives a new connection its thread, or refuses it when there are too many."""
        thread = threading.Thread(
            target=self._serve_connection, args=(request, client_address), daemon=True
        )
        with self._lock:
            full = len(self._connections) >= self.limits.connections
            if not full:
                self._connections[thread] = request
        if full:
            self._refuse_busy(request, client_address)
            return
        try:
            thread.start()
        except RuntimeError:  # the system has no thread to give
            with self._lock:
                del self._connections[thread]
            self._refuse_busy(request, client_address)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Logs what ended a connection: a line for the network's faults, a traceback for ours."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            log(f"{client_address[0]}:{client_address[1]} connection ended: {error}")
        else:
            log(f"{client_address[0]}:{client_address[1]} {traceback.format_exc().rstrip()}")

    def finish_calls(self) -> None:
        """Lets calls under way finish, for limits.stop_s at most; idle connections end at once.

        To be called after shutdown().
        """
        with self._lock:
            threads = dict(self._connections)
        for connection in threads.values():
            # The thread reads an end of file after the request it is at.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        end = time.monotonic() + self.limits.stop_s
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _serve_connection(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001 - the thread's outermost frame: logged, never raised
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)
            with self._lock:
                del self._connections[threading.current_thread()]

    def _refuse_busy(self, request: socket.socket, client_address: Any) -> None:
        log(
            f"{client_address[0]}:{client_address[1]} refused: 503, "
            f"{self.limits.connections} connections are open"
        )
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(_BUSY)
        self.shutdown_request(request)
