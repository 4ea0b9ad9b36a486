# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is at the other end of a connection, before it has said anything.

On loopback that is a user of this machine, by the owner of the socket there; else an address.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.util import sock_diag, users
from kvmlog.util.sock_diag import IpAddress

# States in which our own side still has its peer: ESTABLISHED, CLOSE_WAIT (net/tcp_states.h).
_CONNECTED: Final = (1, 8)
_HELD: Final = (sock_diag.ESTABLISHED, sock_diag.FIN_WAIT1, sock_diag.FIN_WAIT2)
_IPV6_PREFIX: Final = 64
_STRANGERS: Final = "local users who may not call by themselves"


@dataclass(frozen=True)
class Peer:
    """The other end of one connection."""

    address: str
    """For the log: "127.0.0.1:40312", "[::1]:40312"."""

    local: bool
    """On loopback."""

    uid: int | None
    """Of a local peer; None when its owner cannot be told."""

    known: bool
    """A local user who may call, whatever they show."""

    group: object
    """What limits per peer count by: a user, an IPv4 address, an IPv6 network of 64 bits; one for
    all local users who could only call with a token."""


def identify(connection: socket.socket, peer: Any) -> Peer:
    """Whoever is at the other end of an accepted connection; to be called right away."""
    host, port = sock_diag.address(peer[0]), int(peer[1])
    shown = f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
    if not host.is_loopback:
        return Peer(shown, False, None, False, _network(host))
    uid = _owner(connection, host, port)
    known = uid is not None and bool(users.standing(uid))
    return Peer(shown, True, uid, known, ("uid", uid) if known else _STRANGERS)


def _owner(connection: socket.socket, host: IpAddress, port: int) -> int | None:
    """The uid of the peer's socket; None for one that is closed or not of this machine."""
    try:
        ours = connection.getsockname()
        found = sock_diag.tcp_socket((host, port), (sock_diag.address(ours[0]), ours[1]))
        # While our end lives nobody else can have these addresses and ports: what was found is
        # the peer, and not somebody who came to its port after it.
        state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return None
    if found is None or not found.held or found.state not in _HELD or state not in _CONNECTED:
        return None
    return found.uid


def _network(host: IpAddress) -> object:
    """A host of IPv6 has a whole network of addresses to come from."""
    if host.version == 4:
        return host
    return ipaddress.ip_network((host, _IPV6_PREFIX), strict=False)
