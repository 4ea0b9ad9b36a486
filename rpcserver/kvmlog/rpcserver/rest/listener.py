# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections as they are accepted: counted, with TLS as it is configured at that moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import web

from kvmlog.rpcserver.http.connections import Connection, Connections
from kvmlog.rpcserver.http.peers import Peer, identify
from kvmlog.rpcserver.limits import BURST_S, Limits
from kvmlog.rpcserver.rest.connection import JsonConnection
from kvmlog.util.ratelimit import TokenBuckets
from kvmlog.util.shortage import shortage

# How long a connection waits that there is no descriptor for, before the next look.
_SHORTAGE_S: Final = 0.1


class Served(Protocol):
    """What is behind a listener."""

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The server's side of TLS for new connections; None for plain HTTP."""


class Listener:
    """Accepts connections on a socket that listens; its methods run in the event loop."""

    def __init__(
        self,
        listening: socket.socket,
        manager: web.Server,
        service: Served,
        limits: Limits,
        log_sparingly: Callable[[str], None],
    ) -> None:
        self._listening = listening
        self._manager = manager
        self._service = service
        self._limits = limits
        self._log_sparingly = log_sparingly
        self._connections: Connections[JsonConnection | None] = Connections(limits)
        self._open: set[JsonConnection] = set()
        self._beginning: set[asyncio.Task[None]] = set()
        # Signing takes a millisecond of the loop, which a client can ask for at every connection.
        self._handshakes = TokenBuckets(limits.handshakes_per_s, limits.handshakes_per_s * BURST_S)

    async def serve(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listening)
            except OSError as error:
                sentence = shortage(error)
                if sentence is not None:
                    self._log_sparingly(f"a connection has to wait: {sentence}")
                    await asyncio.sleep(_SHORTAGE_S)
                continue
            accepted.setblocking(False)
            peer = identify(accepted, address)
            trusted = peer.uid in (0, os.geteuid())
            entry = Connection(accepted.dup(), peer, trusted=trusted)
            full = self._connections.admit(entry, None)
            if full:
                self._connections.forget(entry)
                self._refuse(accepted, peer, f"503, {full} connections are open")
                continue
            task = loop.create_task(self._begin(accepted, entry))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def renew(self) -> None:
        """Have TLS connections begin anew, after the service's credentials were replaced.

        As RpcServer.renew_connections() does.
        """
        if self._service.tls is not None:
            for connection in self._open:
                connection.entry.ending = True
                connection.close()

    def end(self) -> None:
        """Take no more connections, and end those that have not begun; others end by themselves."""
        self._listening.close()
        for task in self._beginning:
            task.cancel()

    async def _begin(self, accepted: socket.socket, entry: Connection) -> None:
        loop = asyncio.get_running_loop()
        made: JsonConnection | None = None

        def protocol() -> JsonConnection:
            nonlocal made
            made = JsonConnection(
                self._manager, loop, entry, self._limits, self._ended, self._log_sparingly
            )
            self._open.add(made)
            return made

        context = self._service.tls
        try:
            counts = context is not None and not entry.trusted
            if counts and self._handshakes.wait_s(entry.peer.group) > 0:
                self._refuse(accepted, entry.peer, "too many TLS handshakes")
                return
            await loop.connect_accepted_socket(
                protocol,
                accepted,
                ssl=context,
                ssl_handshake_timeout=None if context is None else self._limits.handshake_s,
            )
        except (OSError, asyncio.CancelledError) as error:
            if not isinstance(error, asyncio.CancelledError):
                self._log_sparingly(f"{entry.peer.address} connection ended: {error}")
            accepted.close()
        finally:
            # After the handshake failed there is a protocol that was never connected.
            if made is None or made.transport is None:
                self._gone(entry, made)

    def _ended(self, connection: JsonConnection) -> None:
        self._gone(connection.entry, connection)

    def _gone(self, entry: Connection, connection: JsonConnection | None) -> None:
        if connection is not None:
            self._open.discard(connection)
        self._connections.forget(entry)
        if entry.evicted:
            self._log_sparingly(
                f"{entry.peer.address} ended: it had shown no credential, and another connection "
                "needed its slot"
            )
            entry.evicted = False

    def _refuse(self, accepted: socket.socket, peer: Peer, why: str) -> None:
        self._log_sparingly(f"{peer.address} refused: {why}")
        with contextlib.suppress(OSError):
            # Before its handshake a client with TLS can read no text: it only sees the end.
            if self._service.tls is None:
                accepted.send(_BUSY)
        accepted.close()


_BUSY_TEXT: Final = (
    b'{"type":"about:blank","title":"Service Unavailable","status":503,'
    b'"detail":"Too many connections; try again in a second."}'
)
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\nRetry-After: 1\r\n\r\n%s"
    % (len(_BUSY_TEXT), _BUSY_TEXT)
)
