# SPDX-License-Identifier: GPL-2.0-or-later
"""The sender of a plain datagram on loopback: the owner of the socket that it came from.

A datagram carries no more than an address, which anybody may have had a moment ago. So every
doubt is a refusal: no socket there (the sender has closed it), several sockets of which one is
somebody else's, one that cannot have sent it, one that left its port to others at other addresses.
"""

from __future__ import annotations

from typing import Final

from kvmlog.util import sock_diag, users
from kvmlog.util.errors import SwitchError
from kvmlog.util.sock_diag import Endpoint, LocalSocket

_RANGE: Final = "/proc/sys/net/ipv4/ip_local_port_range"
_GONE: Final = (
    "whose socket this came from cannot be told, it may be closed already; wait for the answer, "
    "use kvmlog switch, or allow any sender on loopback (udp.plain)"
)


def identify(sender: Endpoint, receiver: Endpoint) -> str:
    """Return the name of the permitted user who sent it; SwitchError when in any doubt."""
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
    unauthorized = [one for one in sockets if not one.held or not users.standing(one.uid)]
    if unauthorized:
        raise SwitchError(
            f"{users.refusal(unauthorized[0].uid)}; only they may switch: become a member, "
            f"or sign the command with a key (kvmlog switch --udp, --key)"
            if unauthorized[0].held
            else _GONE
        )
    if not any(_may_have_sent(one, sender, receiver) for one in sockets):
        raise SwitchError(_GONE)
    return users.user_name(sockets[0].uid)


def _may_have_sent(one: LocalSocket, sender: Endpoint, receiver: Endpoint) -> bool:
    """Return whether the socket can have sent it: connected to ours, or on an ephemeral port.

    A daemon's socket on a well-known port is no sender of commands, and with SO_REUSEADDR
    anybody may send from that port, and be gone. So may they from the port of a socket at one
    address, one interface or in the other family: theirs is at another, and sends with any.
    """
    if one.remote[1] != 0:
        return (one.local, one.remote) == (sender, receiver)
    low, high = _ephemeral()
    whole = one.local[0].is_unspecified and one.interface == 0
    fits = one.takes_ipv4 if sender[0].version == 4 else one.local[0].version == 6
    return whole and fits and low <= one.local[1] <= high


def _ephemeral() -> tuple[int, int]:
    try:
        with open(_RANGE, encoding="ascii") as file:
            low, high = file.read().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return 32768, 60999
