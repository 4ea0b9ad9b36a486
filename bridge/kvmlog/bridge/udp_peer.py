# SPDX-License-Identifier: GPL-2.0-or-later
"""The sender of a plain datagram on loopback: the owner of the socket that it came from.

A datagram carries no more than an address, which anybody may have had a moment ago. So every
doubt is a refusal: no socket there (the sender has closed it), several sockets of which one is
somebody else's, one that cannot have sent it, one that leaves its port to others, at any address.
What no look can tell is in docs/access.md, and is why nobody's are accepted by default.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from kvmlog.util import sock_diag, users
from kvmlog.util.errors import SwitchError
from kvmlog.util.sock_diag import Endpoint, LocalSocket

_RANGE: Final = "/proc/sys/net/ipv4/ip_local_port_range"
_WAYS: Final = "use kvmlog switch, or accept any sender on loopback (udp.plain)"
_GONE: Final = (
    "whose socket this came from cannot be told, it may be closed already; wait for the answer, "
    + _WAYS
)
_SHARED: Final = (
    "whose socket this came from cannot be told, others can have its port, too; send from a socket "
    "that is not connected, not bound to an address and without SO_REUSEADDR, " + _WAYS
)
# How often both looks are taken. Another user's socket can appear between the first and the
# second, and be gone before the next: half of the times at best, each time.
_ROUNDS: Final = 16
# Addresses that nobody sends to: a socket that is bound there for a moment takes nothing away.
_IDLE: Final = {4: (socket.AF_INET, "127.255.255.254"), 6: (socket.AF_INET6, "ff0e::6b76:6d6c")}


def identify(sender: Endpoint) -> str:
    """Return the name of the permitted user who sent it; SwitchError when in any doubt."""
    for _ in range(_ROUNDS):
        sockets = _sockets(sender)
        if _is_sharable(sender):
            raise SwitchError(_SHARED)
    return users.user_name(sockets[0].uid)


def _sockets(sender: Endpoint) -> list[LocalSocket]:
    """Return all sockets with the sender's port: of permitted users, and one has all of it."""
    try:
        sockets = sock_diag.udp_sockets(sender[1])
    except OSError as error:
        raise SwitchError(
            f"this kernel does not tell socket owners ({error.strerror}); use kvmlog switch"
        ) from None
    if len(sockets) >= sock_diag.MOST_SOCKETS:
        raise SwitchError(
            f"{len(sockets)} sockets or more have the port {sender[1]}, and any may have sent it; "
            "send from a port of its own, or use kvmlog switch"
        )
    # An address can be chosen per datagram (IP_PKTINFO), a port cannot: all with the port count.
    unauthorized = [one for one in sockets if one.held and not users.standing(one.uid)]
    if unauthorized:
        raise SwitchError(
            f"{users.refusal(unauthorized[0].uid)}; only they may switch: become a member, "
            f"or sign the command with a key (kvmlog switch --udp, --key)"
        )
    if not sockets or not all(one.held for one in sockets):
        raise SwitchError(_GONE)
    if not any(_has_all_of_its_port(one, sender) for one in sockets):
        raise SwitchError(_SHARED)
    return sockets


def _has_all_of_its_port(one: LocalSocket, sender: Endpoint) -> bool:
    """Return whether nobody without SO_REUSEADDR can have the port that the kernel gave it.

    Others can bind the port of a socket at one address (a connected one is), at one interface or
    in the other family, and send from there with any address. A daemon's socket on a well-known
    port is no sender of commands: who had the port before it began may have sent this.
    """
    low, high = _ephemeral()
    whole = one.local[0].is_unspecified and one.interface == 0 and one.remote[1] == 0
    fits = one.takes_ipv4 if sender[0].version == 4 else one.local[0].version == 6
    return whole and fits and low <= one.local[1] <= high


def _is_sharable(sender: Endpoint) -> bool:
    """Return whether others can bind the port beside those that have it.

    Only a bind tells: the kernel refuses it as long as one of them is without SO_REUSEADDR. (With
    SO_REUSEPORT it lets in sockets of the same user only.)
    """
    family, host = _IDLE[sender[0].version]
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, sender[1]))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def _ephemeral() -> tuple[int, int]:
    try:
        with open(_RANGE, encoding="ascii") as file:
            low, high = file.read().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return 32768, 60999
