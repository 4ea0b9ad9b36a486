# SPDX-License-Identifier: GPL-2.0-or-later
"""Which connections are open, what each is at, and who goes when there are too many.

A connection is proven once it has shown that its peer may call. When the places are
taken, a new one takes that of the oldest which has not: silence holds no place that
somebody else could use.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
from collections.abc import Iterable

from kvmlog.rpcserver.http.peers import Peer
from kvmlog.rpcserver.limits import Limits


class ConnectionState(enum.Enum):
    """What a connection is at."""

    BEGINNING = 0  # the handshake of TLS, or before its thread has begun
    IDLE = 1  # waits for a request
    BUSY = 2  # from a request's first byte to the last of its reply


class Connection:
    """One that is open. Its own thread says what it is at, by the methods of Connections."""

    def __init__(self, held: socket.socket, peer: Peer, *, trusted: bool) -> None:
        """held: shut down, from another thread, to end it; trusted: has places of its own."""
        self.held = held
        self.peer = peer
        self.trusted = trusted
        # Set by its thread once a request has come from somebody who may call.
        self.proven = trusted or peer.known
        self.at = ConnectionState.BEGINNING
        self.ending = False  # after the request it is at, if it is at any
        self.evicted = False


class Connections:
    """Those that are open; all methods may be called from any thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._open: dict[Connection, threading.Thread] = {}  # oldest first

    def admit(self, new: Connection, thread: threading.Thread) -> str:
        """Gives it a place; else returns how many are taken, in words."""
        most, of_peer = self._limits.connections, self._limits.connections_per_peer
        with self._lock:
            alike = [one for one in self._open if one.trusted is new.trusted]
            staying = [one for one in alike if not one.evicted]
            group = [one for one in staying if one.peer.group == new.peer.group]
            if not new.trusted and len(group) >= of_peer:
                goes, words = _oldest_unproven(group), f"{of_peer} of this peer"
            elif len(staying) >= most:
                goes, words = _oldest_unproven(staying), str(most)
            else:
                goes, words = None, ""
            # Those that were evicted have threads until they have noticed.
            if words and (goes is None or len(alike) >= 2 * most):
                return words
            if goes is not None:
                goes.evicted = True
                _shut(goes, socket.SHUT_RDWR)
            self._open[new] = thread
        return ""

    def forget(self, connection: Connection) -> None:
        """It has ended, or did not begin."""
        with self._lock:
            self._open.pop(connection, None)
            # Under the lock: nobody shuts down a closed one, whose number may be another file's.
            connection.held.close()

    def idle(self, connection: Connection) -> bool:
        """It could take a request; False when it is to end instead."""
        with self._lock:
            connection.at = ConnectionState.IDLE
            return not connection.ending

    def busy(self, connection: Connection) -> bool:
        """A request has begun; False when the connection is ending: it may have been cut."""
        with self._lock:
            if connection.at is not ConnectionState.BUSY and connection.ending:
                return False
            connection.at = ConnectionState.BUSY
            return True

    def end(self, *, beginning: bool) -> list[threading.Thread]:
        """Ends those that are idle, and the others after their request. Returns all threads.

        beginning: also those that are at their handshake.
        """
        with self._lock:
            for connection in self._open:
                if connection.at is ConnectionState.BEGINNING and not beginning:
                    continue
                connection.ending = True
                if connection.at is not ConnectionState.BUSY:
                    _shut(connection, socket.SHUT_RD)
            return list(self._open.values())


def _oldest_unproven(candidates: Iterable[Connection]) -> Connection | None:
    # Whatever it is at: who held its place by half a request would hold it best.
    return next((one for one in candidates if not one.proven), None)


def _shut(connection: Connection, how: int) -> None:
    with contextlib.suppress(OSError):
        connection.held.shutdown(how)
