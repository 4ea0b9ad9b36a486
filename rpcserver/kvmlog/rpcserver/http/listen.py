# SPDX-License-Identifier: GPL-2.0-or-later
"""The address that the server listens on."""

from __future__ import annotations

import ipaddress

from kvmlog.config.schema.defaults import DEFAULT_LISTEN
from kvmlog.util.errors import KvmlogError

_MAX_PORT = 65535


class ListenError(KvmlogError):
    """An address that cannot be listened on; the sentence says why and what to do."""


def parse_listen(text: str, option: str = "--listen") -> tuple[str, int]:
    """Parse "HOST:PORT" and return (host, port); host is an IP address without brackets.

    Port 0 lets the kernel choose. Raises ListenError for anything else. preflight.py checks whether
    the address needs credentials.
    """
    host, colon, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port_text.isascii() or not port_text.isdigit():
        raise ListenError(f"{option} {text}: no HOST:PORT; try {DEFAULT_LISTEN}")
    if int(port_text) > _MAX_PORT:
        raise ListenError(f"{option} {text}: port {port_text} is above {_MAX_PORT}")
    if host == "localhost":
        return "127.0.0.1", int(port_text)
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ListenError(
            f"{option} {text}: {host or 'nothing'} is no IP address; "
            "use 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or an address of this machine"
        ) from None
    if (address.version == 6) != bracketed:
        raise ListenError(f"{option} {text}: write IPv6 addresses, and only these, in [brackets]")
    return str(address), int(port_text)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach it; host: as parse_listen() returns it."""
    return ipaddress.ip_address(host).is_loopback
