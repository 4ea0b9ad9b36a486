# SPDX-License-Identifier: GPL-2.0-or-later
"""Credentials and trust, read once for the clients of all hosts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final

from kvmlog.client import Client, tls_context
from kvmlog.fleet.hosts import FleetHost
from kvmlog.util.secrets import read_secret

# A reply of a host at most: so many may be under way at once.
REPLY_BYTES: Final = 16 << 20


@dataclass(frozen=True)
class Access:
    """How all hosts are reached; timeout_s: for connecting, and for each call."""

    token: str | None = None
    context: ssl.SSLContext | None = None  # None: no host has TLS
    timeout_s: float = 10.0
    reply_bytes: int = REPLY_BYTES

    @classmethod
    def of(
        cls,
        *,
        token_file: str | None,
        ca: str | None,
        cert: str | None,
        key: str | None,
        timeout_s: float,
        tls: bool,
        user: str = "",
    ) -> Access:
        """Read the files; KvmlogError. tls: of any host; user: as of read_secret()."""
        token = None
        if token_file:
            token = read_secret(token_file, "token", user).decode("ascii", "replace").strip()
        wanted = tls or any((ca, cert, key))
        context = tls_context(ca or None, cert or None, key or None) if wanted else None
        return cls(token, context, timeout_s)

    def client(self, host: FleetHost) -> Client:
        """Return a client of one host; RpcError where it may not get the token."""
        # A call waits for no more than a moment: the host is asked again soon, or by somebody.
        return Client(
            host.url,
            token=self.token,
            context=self.context if host.tls else None,
            timeout_s=self.timeout_s,
            connect_tries=1,
            reply_bytes=self.reply_bytes,
        )
