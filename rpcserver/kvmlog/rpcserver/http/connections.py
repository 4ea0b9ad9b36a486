# SPDX-License-Identifier: GPL-2.0-or-later
"""The open connections, the state of each, and which one is evicted when there are too many.

A connection is authenticated once its peer has shown that it may call. When all slots are taken, a
new connection gets that of the oldest one that is not: silence holds no slot that somebody else
could use.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

from kvmlog.rpcserver.http.peers import Peer
from kvmlog.rpcserver.limits import Limits

# What serves a connection: a thread, or the like.
_Server = TypeVar("_Server")


class ConnectionState(enum.Enum):
    """The state of a connection."""

    BEGINNING = 0  # in the TLS handshake, or its thread has not begun
    IDLE = 1  # waiting for a request
    BUSY = 2  # from a request's first byte to the last of its reply


class Connection:
    """An open connection. Its own thread sets its state, by the methods of Connections."""

    def __init__(self, held: socket.socket, peer: Peer, *, trusted: bool) -> None:
        """held: shut down from another thread to end it; trusted: counts against its own slots."""
        self.held = held
        self.peer = peer
        self.trusted = trusted
        # Set by its thread at the first request of somebody who may call.
        self.authenticated = trusted or peer.known
        self.state = ConnectionState.BEGINNING
        self.ending = False  # after the request under way, if there is one
        self.evicted = False


class Connections(Generic[_Server]):
    """All open connections; the methods may be called from any thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._open: dict[Connection, _Server] = {}  # oldest first

    def admit(self, new: Connection, server: _Server) -> str:
        """Give it a slot and return ""; else return how many are taken: "2 of this peer"."""
        slots, slots_per_peer = self._limits.connections, self._limits.connections_per_peer
        with self._lock:
            same_kind = [one for one in self._open if one.trusted is new.trusted]
            staying = [one for one in same_kind if not one.evicted]
            group = [one for one in staying if one.peer.group == new.peer.group]
            if not new.trusted and len(group) >= slots_per_peer:
                victim, taken = _oldest_unauthenticated(group), f"{slots_per_peer} of this peer"
            elif len(staying) >= slots:
                victim, taken = _oldest_unauthenticated(staying), str(slots)
            else:
                victim, taken = None, ""
            # Evicted connections keep their threads until these have noticed.
            if taken and (victim is None or len(same_kind) >= 2 * slots):
                return taken
            if victim is not None:
                victim.evicted = True
                _shut(victim, socket.SHUT_RDWR)
            self._open[new] = server
        return ""

    def forget(self, connection: Connection) -> None:
        """Free its slot: it has ended, or did not begin."""
        with self._lock:
            self._open.pop(connection, None)
            # Under the lock, so that nobody shuts down a closed one: its descriptor may be reused.
            connection.held.close()

    def idle(self, connection: Connection) -> bool:
        """Mark it as waiting for a request; return False when it is to end instead."""
        with self._lock:
            connection.state = ConnectionState.IDLE
            return not connection.ending

    def busy(self, connection: Connection) -> bool:
        """Mark that a request has begun; return False when it is ending: it may have been cut."""
        with self._lock:
            if connection.state is not ConnectionState.BUSY and connection.ending:
                return False
            connection.state = ConnectionState.BUSY
            return True

    def end(self, *, beginning: bool) -> list[_Server]:
        """End idle connections at once, others after their request; return what serves them.

        beginning: end those in their handshake, too.
        """
        with self._lock:
            for connection in self._open:
                if connection.state is ConnectionState.BEGINNING and not beginning:
                    continue
                connection.ending = True
                if connection.state is not ConnectionState.BUSY:
                    _shut(connection, socket.SHUT_RD)
            return list(self._open.values())


def _oldest_unauthenticated(candidates: Iterable[Connection]) -> Connection | None:
    # Whatever its state: otherwise half a request would hold a slot for good.
    return next((one for one in candidates if not one.authenticated), None)


def _shut(connection: Connection, how: int) -> None:
    with contextlib.suppress(OSError):
        connection.held.shutdown(how)
