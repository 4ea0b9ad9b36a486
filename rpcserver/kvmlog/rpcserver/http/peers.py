# SPDX-License-Identifier: GPL-2.0-or-later
"""The peer of a connection, before it has sent anything.

On loopback it is a user of this machine, the owner of the socket there; otherwise an address.
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
_PEER_STATES: Final = (sock_diag.ESTABLISHED, sock_diag.FIN_WAIT1, sock_diag.FIN_WAIT2)
_IPV6_PREFIX: Final = 64
_OTHER_USERS: Final = "local users who need a token"


@dataclass(frozen=True)
class Peer:
    """The other end of one connection."""

    address: str
    """Return the address for the log: "127.0.0.1:40312", "[::1]:40312"."""

    local: bool
    """Whether it is on loopback."""

    uid: int | None
    """The user of a local peer; None when the owner of its socket cannot be found."""

    known: bool
    """Whether it is a local user who may call without a credential."""

    group: object
    """The key of limits per peer: a user, an IPv4 address, an IPv6 /64 network; all local users who
    need a token share one."""


def identify(connection: socket.socket, peer: Any) -> Peer:
    """Return the peer of an accepted connection; to be called right after accept()."""
    host, port = sock_diag.address(peer[0]), int(peer[1])
    shown = f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
    if not host.is_loopback:
        return Peer(shown, False, None, False, _network(host))
    uid = _owner(connection, host, port)
    known = uid is not None and bool(users.standing(uid))
    return Peer(shown, True, uid, known, ("uid", uid) if known else _OTHER_USERS)


def _owner(connection: socket.socket, host: IpAddress, port: int) -> int | None:
    """Return the uid of the peer's socket; None when it is closed or not of this machine."""
    try:
        ours = connection.getsockname()
        found = sock_diag.tcp_socket((host, port), (sock_diag.address(ours[0]), ours[1]))
        # While our end lives nobody else can have these addresses and ports: what was found is
        # the peer, not somebody who took its port afterwards.
        state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return None
    if (
        found is None
        or not found.held
        or found.state not in _PEER_STATES
        or state not in _CONNECTED
    ):
        return None
    return found.uid


def _network(host: IpAddress) -> object:
    """Return what a host of IPv6 can choose its address from: its whole network."""
    if host.version == 4:
        return host
    return ipaddress.ip_network((host, _IPV6_PREFIX), strict=False)
