# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of the switch's UDP port, as text and as sockets take them."""

from __future__ import annotations

import socket
from typing import Any, Final

from kvmlog.util import sock_diag
from kvmlog.util.errors import SwitchError
from kvmlog.util.sock_diag import Endpoint

# For error messages; the default is that of kvmlog.config.schema.
EXAMPLE: Final = "127.0.0.1:50000"


def parse_address(text: str) -> tuple[str, int]:
    """Parse HOST:PORT or [HOST]:PORT; SwitchError for anything else."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SwitchError(f"{text!r}: give HOST:PORT with a port from 0 to 65535 ({EXAMPLE})")
    return host, int(port)


def resolve(text: str) -> tuple[socket.AddressFamily, Any]:
    """Resolve HOST:PORT to a family and a socket address; SwitchError when there is none."""
    host, port = parse_address(text)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a host name"
        raise SwitchError(
            f"{text}: {host} cannot be resolved ({why}); give an IP address"
        ) from None
    return found[0][0], found[0][4]


def format_address(name: Any) -> str:
    """Format a socket's address as HOST:PORT, an IPv4-mapped one as IPv4."""
    return format_endpoint((sock_diag.address(name[0]), name[1]))


def format_endpoint(end: Endpoint) -> str:
    """Format as HOST:PORT, IPv6 in brackets."""
    host, port = end
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
