# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON server: an event loop in a thread of its own, beside the XML-RPC server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPMethod
from typing import Final, Self

from aiohttp import web

from kvmlog.rpcserver.http.server import ServerError
from kvmlog.rpcserver.http.work import Accounts
from kvmlog.rpcserver.rest import nova, openapi, v1, v1_history
from kvmlog.rpcserver.rest.encode import encoded
from kvmlog.rpcserver.rest.gate import Gate
from kvmlog.rpcserver.rest.listener import Listener
from kvmlog.rpcserver.rest.routes import Route
from kvmlog.rpcserver.service import RpcService
from kvmlog.rpcserver.vms.documents import Vms, look_ahead

DESCRIPTION: Final = "/v1/openapi.json"
# One caller computes in one thread at a time; more callers than that wait.
_THREADS: Final = 32
_BACKLOG: Final = 128
_BEAT_S: Final = 0.5


class JsonServer:
    """Listens on (host, port) at once; serves from start() until stop()."""

    def __init__(
        self,
        host: str,
        port: int,
        service: RpcService,
        vms: Vms,
        accounts: Accounts,
        version: str,
        log_sparingly: Callable[[str], None],
    ) -> None:
        """Bind the address; ServerError when it cannot be had.

        accounts: those of the XML-RPC server, whose callers these are.
        """
        self._service = service
        self._limits = accounts.limits
        self._log_sparingly = log_sparingly
        self._executor = ThreadPoolExecutor(_THREADS, "json")
        self._gate = Gate(service, vms, accounts, self._executor, log_sparingly)
        self._routes = routes(version)
        self._last_round_s = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._listener: Listener | None = None
        self._thread = threading.Thread(target=self._run, name="json")
        self._socket = _listen(host, port)

    def url(self) -> str:
        """Return the address served, with the port that was chosen: "http://127.0.0.1:50081/"."""
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if self._socket.family == socket.AF_INET6 else host
        return f"{'https' if self._service.tls else 'http'}://{shown}:{port}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def renew_connections(self) -> None:
        """Have TLS connections begin anew, after the service's credentials were replaced."""
        if self._listener is not None:
            self._loop.call_soon_threadsafe(self._listener.renew)

    def is_alive(self, within_s: float) -> bool:
        """Return whether the loop has gone round within this time."""
        return time.monotonic() - self._last_round_s < within_s

    def stop(self) -> None:
        """Take no more connections, give requests under way limits.stop_s, and end.

        May be called again, and without start().
        """
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self._loop.close()
        self._socket.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(middlewares=[self._gate.serve])
        for route in self._routes:
            handler, method = self._gate.handler(route), route.method
            if method == HTTPMethod.GET:
                app.router.add_get(route.path, handler, name=route.name)
            else:
                app.router.add_route(method, route.path, handler, name=route.name)
        runner = web.AppRunner(app, handle_signals=False, access_log=None)
        await runner.setup()
        assert runner.server is not None
        listener = self._listener = Listener(
            self._socket, runner.server, self._service, self._limits, self._log_sparingly
        )
        tasks = [asyncio.create_task(one) for one in (listener.serve(), self._beat())]
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        listener.end()
        await runner.server.shutdown(self._limits.stop_s)
        await runner.cleanup()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)

    async def _beat(self) -> None:
        while True:
            self._last_round_s = time.monotonic()
            look_ahead()
            await asyncio.sleep(_BEAT_S)


def routes(version: str) -> list[Route]:
    """Return all routes, with that of their own description."""
    about = "This description, OpenAPI 3.1"
    found = [*v1.ROUTES, *v1_history.ROUTES, *nova.ROUTES]
    found.append(Route(DESCRIPTION, "openapi", about, lambda _: made, {"type": "object"}))
    # Now, since the user that the server becomes may not be able to read the schemas.
    made = encoded(openapi.document(found, version))
    return found


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise ServerError(
            f"cannot listen on {host} port {port}: {error.strerror}; "
            "is another kvmlog rpc running? --json-listen takes another port"
        ) from error
    found.setblocking(False)
    return found
