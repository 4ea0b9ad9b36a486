# SPDX-License-Identifier: GPL-2.0-or-later
"""A server of GET requests: an event loop in a thread of its own, beside whatever else there is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from aiohttp import web

from kvmlog.rpcserver.http.server import ServerError
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.rest.listener import Listener, Served
from kvmlog.util.event_loop import new_event_loop

# One caller computes in one thread at a time; more callers than that wait.
_THREADS: Final = 32
_BACKLOG: Final = 128
_BEAT_S: Final = 0.5


class LoopServer(ABC):
    """Listens from the beginning; serves from start() until stop()."""

    def __init__(
        self,
        listening: socket.socket,
        name: str,
        service: Served,
        limits: Limits,
        log_sparingly: Callable[[str], None],
    ) -> None:
        """listening: as listen() returns it; name: of its threads."""
        self._service = service
        self._limits = limits
        self._log_sparingly = log_sparingly
        self._socket = listening
        self._executor = ThreadPoolExecutor(_THREADS, name)
        self._last_round_s = time.monotonic()
        self._loop = new_event_loop()
        self._stopping = asyncio.Event()
        self._listener: Listener | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    @abstractmethod
    def _app(self) -> web.Application:
        """Return what serves the requests; called in the event loop."""

    @abstractmethod
    def _tidy(self) -> None:
        """Do what has to be done from time to time; called in the event loop."""

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
        runner = web.AppRunner(self._app(), handle_signals=False, access_log=None)
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
            self._tidy()
            await asyncio.sleep(_BEAT_S)


def listen(host: str, port: int, remedy: str) -> socket.socket:
    """Return a socket that listens; ServerError, which ends with the remedy, without one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise ServerError(
            f"cannot listen on {host} port {port}: {error.strerror}; {remedy}"
        ) from error
    found.setblocking(False)
    return found
