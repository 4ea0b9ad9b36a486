# SPDX-License-Identifier: GPL-2.0-or-later
"""Owners of local sockets, by the kernel's sock_diag: the user at the other end of a connection.

Any user may ask. Formats: include/uapi/linux/inet_diag.h. This uses a plain socket, because
pyroute2's DiagSocket can neither ask for one socket nor report an error.
"""

from __future__ import annotations

import ipaddress
import itertools
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Endpoint = tuple[IpAddress, int]

ESTABLISHED: Final = 1
FIN_WAIT1: Final = 4
FIN_WAIT2: Final = 5

MOST_SOCKETS: Final = 64

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLM_F_DUMP: Final = 0x300
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_ALL_STATES: Final = 0xFFFFFFFF
_NO_COOKIE: Final = b"\xff" * 8
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBxI")
# Family, state, timer, retransmits; ports, addresses, interface, cookie; timer, queues, uid, inode.
_ANSWER: Final = struct.Struct("=BBBB4s16s16sI8sIIIII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_SKV6ONLY: Final = 11
_PORTS: Final = struct.Struct(">HH")
_RECEIVE_BYTES: Final = 1 << 17
_TIMEOUT_S: Final = 2.0


class LocalSocket(NamedTuple):
    """One socket of this machine (of this network namespace)."""

    local: Endpoint
    remote: Endpoint  # port 0: not connected
    state: int  # a TCP state
    uid: int  # its creator; 0, wrongly, for a socket that no process has open any more
    inode: int  # 0: no process has it open
    interface: int  # the one that it is bound to; 0: any
    takes_ipv4: bool  # IPv4, or IPv6 at the unspecified address without IPV6_V6ONLY

    @property
    def held(self) -> bool:
        """Return whether a process has the socket open; `uid` means something only then."""
        return self.inode != 0


def address(text: str) -> IpAddress:
    """Parse an IP address, without its zone; an IPv4-mapped one (::ffff:127.0.0.1) as IPv4."""
    return _plain(ipaddress.ip_address(text.partition("%")[0]))


def tcp_socket(local: Endpoint, remote: Endpoint) -> LocalSocket | None:
    """Return the TCP socket with these two ends, seen from its side; None where there is none.

    OSError when the kernel cannot be asked.
    """
    for found in _ask(_family(local[0]), socket.IPPROTO_TCP, local, remote):
        if (found.local, found.remote) == (local, remote):
            return found
    return None


def udp_sockets(port: int) -> list[LocalSocket]:
    """Return the UDP sockets bound to a local port, at any address, of both families.

    SO_REUSEADDR allows several. At most MOST_SOCKETS are returned: any user can open any number.
    OSError when the kernel cannot be asked.
    """
    families = (socket.AF_INET, socket.AF_INET6)
    found = (
        one
        for family in families
        for one in _ask(family, socket.IPPROTO_UDP, (None, port), None)
        if one.local[1] == port
    )
    return list(itertools.islice(found, MOST_SOCKETS))


def _ask(
    family: int, protocol: int, local: tuple[IpAddress | None, int], remote: Endpoint | None
) -> Iterator[LocalSocket]:
    """Request a single socket, or without `remote` all that have the port."""
    flags = _NLM_F_REQUEST if remote else _NLM_F_REQUEST | _NLM_F_DUMP
    identity = _PORTS.pack(local[1], remote[1] if remote else 0)
    identity += _packed(local[0]) + _packed(remote[0] if remote else None) + bytes(4) + _NO_COOKIE
    body = _REQUEST.pack(family, protocol, 0, _ALL_STATES) + identity
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(_TIMEOUT_S)
        link.bind((0, 0))
        header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, flags, 1, 0)
        link.sendto(header + body, (0, 0))
        while True:
            for message, payload in _messages(link.recv(_RECEIVE_BYTES)):
                if message == _SOCK_DIAG_BY_FAMILY:
                    yield _socket(payload)
                # An error is ENOENT: no such socket, or a kernel without sock_diag for it.
                if message in (_NLMSG_DONE, _NLMSG_ERROR) or remote:
                    return


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += max((length + 3) & ~3, _HEADER.size)


def _socket(payload: bytes) -> LocalSocket:
    family, state, _, _, ports, source, target, interface, _, _, _, _, uid, inode = (
        _ANSWER.unpack_from(payload)
    )
    local_port, remote_port = _PORTS.unpack(ports)
    local, remote = _unpacked(family, source), _unpacked(family, target)
    return LocalSocket(
        (local, local_port),
        (remote, remote_port),
        state,
        uid,
        inode,
        interface,
        local.version == 4 or (local.is_unspecified and _both_families(payload)),
    )


def _both_families(payload: bytes) -> bool:
    """Return whether IPV6_V6ONLY is known to be off; the kernel says so of unconnected sockets."""
    at = _ANSWER.size
    while at + _ATTRIBUTE.size < len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, at)
        if kind == _SKV6ONLY:
            return payload[at + _ATTRIBUTE.size] == 0
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
    return False


def _family(host: IpAddress) -> int:
    return socket.AF_INET6 if host.version == 6 else socket.AF_INET


def _packed(host: IpAddress | None) -> bytes:
    return (host.packed if host else b"").ljust(16, b"\0")


def _unpacked(family: int, raw: bytes) -> IpAddress:
    return _plain(ipaddress.ip_address(raw if family == socket.AF_INET6 else raw[:4]))


def _plain(host: IpAddress) -> IpAddress:
    return getattr(host, "ipv4_mapped", None) or host
