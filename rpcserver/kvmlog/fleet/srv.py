# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts from SRV records of DNS (RFC 2782), by dnspython, which is optional."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Final

from kvmlog.fleet import FleetError
from kvmlog.fleet.hosts import MOST_HOSTS, FleetHost
from kvmlog.guests.sanitize import clean

DNS_PORT: Final = 53
_LIFETIME_S: Final = 10.0


def lookup(name: str, nameserver: str | None = None, *, tls: bool = False) -> list[FleetHost]:
    """Return the hosts of the SRV records of a name, those of the least priority first.

    nameserver: ADDRESS or ADDRESS:PORT, [IPv6]:PORT; None: the system's. FleetError.
    """
    try:
        import dns.exception
        import dns.resolver
    except ImportError as error:
        raise FleetError(
            f"SRV records cannot be looked up ({error}); install python3-dnspython, or "
            "kvmlog[srv] with pip, or give --hosts"
        ) from None
    try:
        resolver = dns.resolver.Resolver(configure=nameserver is None)
        if nameserver is not None:
            address, port = _server(nameserver)
            resolver.nameservers, resolver.port = [address], port
        answer = resolver.resolve(name, "SRV", lifetime=_LIFETIME_S, search=False)
    except dns.exception.DNSException as error:
        raise FleetError(
            f"{clean(name, 80)}: no SRV records ({clean(str(error), 200)}); give the whole name, "
            "such as _kvmlog._tcp.example.net"
        ) from None
    records = sorted(answer, key=lambda one: (one.priority, -one.weight, str(one.target)))
    if len(records) > MOST_HOSTS:
        raise FleetError(f"{clean(name, 80)}: more than {MOST_HOSTS} records; split the fleet")
    found: dict[tuple[str, int], FleetHost] = {}
    for one in records:
        host = one.target.to_text(omit_final_dot=True)
        # A target of "." says that there is no such service (RFC 2782).
        if host not in ("", ".") and one.port:
            found.setdefault((host.lower(), one.port), FleetHost(host, one.port, tls))
    if not found:
        raise FleetError(f"{clean(name, 80)}: its SRV records name no host; add some")
    return list(found.values())


def _server(text: str) -> tuple[str, int]:
    """Return address and port of a name server; FleetError."""
    address, port = text, DNS_PORT
    before, colon, after = text.rpartition(":")
    if colon and after.isdecimal() and (":" not in before or before.endswith("]")):
        address, port = before, int(after)
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(address)
        if 0 < port < 1 << 16:
            return address, port
    raise FleetError(
        f"{clean(text, 80)}: no name server; give ADDRESS, ADDRESS:PORT or [IPv6]:PORT"
    )
