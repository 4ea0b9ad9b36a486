# SPDX-License-Identifier: GPL-2.0-or-later
"""The UDP side of the switch: the ancestor's `on` and `off` datagrams, answered."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final

from kvmlog.bridge.datagram import DatagramEnd
from kvmlog.bridge.errors import SwitchError
from kvmlog.bridge.switch import Switch

DEFAULT_UDP: Final = "127.0.0.1:50000"


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT or [HOST]:PORT as host and port; SwitchError for anything else."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SwitchError(f"{text!r}: give HOST:PORT with a port from 0 to 65535 ({DEFAULT_UDP})")
    return host, int(port)


def resolve_loopback(text: str) -> tuple[socket.AddressFamily, Any]:
    """Family and socket address of a loopback HOST:PORT; SwitchError beyond loopback."""
    host, port = parse_address(text)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise SwitchError(f"{text}: {host} cannot be resolved: {error.strerror}") from None
    family, _, _, _, address = found[0]
    if not ipaddress.ip_address(address[0]).is_loopback:
        raise SwitchError(
            f"{text}: without a key commands are taken on loopback only; "
            f"give a loopback address ({DEFAULT_UDP})"
        )
    return family, address


class UdpServer(DatagramEnd):
    """The bound socket; handle() answers one datagram."""

    channel = "udp"

    def __init__(self, text: str, switch: Switch) -> None:
        family, address = resolve_loopback(text)
        self._switch = switch
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self.socket.bind(address)
        except OSError as error:
            self.socket.close()
            raise SwitchError(
                f"{text}: cannot be bound ({error.strerror}); "
                "stop what uses it or give another address (--udp)"
            ) from None
        self.socket.setblocking(False)

    @property
    def address(self) -> str:
        """HOST:PORT as bound: the port is known here when 0 was asked for."""
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Gives the port back."""
        self.socket.close()
