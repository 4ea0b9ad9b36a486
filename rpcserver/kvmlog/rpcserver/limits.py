# SPDX-License-Identifier: GPL-2.0-or-later
"""The bounds on what a client may cost the server. Documented in docs/rpc.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BURST_S: Final = 5

MOST_CALLS: Final = 64
"""Calls in one system.multicall at most."""


@dataclass(frozen=True)
class Limits:
    """Bounds on connections, times and sizes of the RPC server."""

    connections: int = 64
    """Connections served at the same time, one thread each, and as many again for root and the
    server's own user; one more gets a 503."""

    connections_per_peer: int = 16
    """Connections of one peer: an address, a local user of the group, or all other local users
    together; root and the server's own user have no such limit."""

    requests_per_s: float = 200.0
    """Requests of one caller, with bursts of BURST_S times as many; 0: no limit."""

    handshake_s: float = 10.0
    """How long the TLS handshake may take."""

    handshakes_per_s: float = 50.0
    """TLS handshakes of one peer on the JSON port, with bursts of BURST_S times as many."""

    idle_s: float = 30.0
    """How long a connection may wait between two requests."""

    request_s: float = 10.0
    """How long one request, from its first byte to the last of its body, may take."""

    reply_s: float = 10.0
    """How long a client may take to accept its reply."""

    head_bytes: int = 16 * 1024
    """Request line and headers together."""

    body_bytes: int = 64 * 1024
    """Content-Length at most; the longest real call is well under 1 KiB."""

    turns: int = 4
    """Callers for whom is computed at the same time, for each by one thread."""

    queue_s: float = 10.0
    """How long a request may wait for its caller's turn, or for memory."""

    reply_bytes: int = 64 * 1024 * 1024
    """Memory of large replies, from before they are made until they are sent."""

    reply_bytes_per_caller: int = 32 * 1024 * 1024
    """That of one caller's."""

    depth: int = 32
    """Nested XML elements in a request at most."""

    stop_s: float = 6.0
    """How long calls under way may take to finish once the server has been asked to stop."""
