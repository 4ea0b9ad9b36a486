# SPDX-License-Identifier: GPL-2.0-or-later
"""Address of this host's own `kvmlog rpc`, from the configuration."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

from kvmlog.config.load import Config
from kvmlog.rpcserver.http.listen import parse_listen
from kvmlog.util.errors import KvmlogError

# Who listens on all addresses is reached on loopback, where a socket's owner proves who calls.
_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}


class OwnServer(NamedTuple):
    """url: for Client; tls_ca: PEM file with what to trust there, None: plain HTTP."""

    url: str
    tls_ca: str | None


def own_server(config: Config) -> OwnServer:
    """Return this host's server; KvmlogError where the configuration leaves the port to the kernel.

    With TLS the server's own certificate is trusted: it is the one in its configuration.
    """
    host, port = parse_listen(config.rpc.listen)
    if not port:
        raise KvmlogError(
            f"rpc.listen = {config.rpc.listen}: the kernel chose the port; give it as HOST:PORT"
        )
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = _LOOPBACK[address.version]
    name = f"[{host}]" if address.version == 6 else host
    scheme = "https" if config.rpc.tls_cert else "http"
    return OwnServer(f"{scheme}://{name}:{port}", config.rpc.tls_cert or None)
