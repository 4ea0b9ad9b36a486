# SPDX-License-Identifier: GPL-2.0-or-later
"""A typed client of `kvmlog rpc` (docs/rpc.md).

with Client("host1:50080", token=...) as host:
    host.switch(True, vm=["web1"], for_s=60)
    page = host.records(count=1000)
    page = host.records(since=(page.span.ring_id, page.span.next_index))
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from typing import Any, Literal

from kvmlog.client import replies
from kvmlog.client.connection import (
    CONNECT_TRIES,
    DEFAULT_PORT,
    Connection,
    RpcError,
    RpcFaultError,
    RpcUnreachableError,
    parse_address,
)
from kvmlog.client.replies import Explained, Guests, Pending, Records, Status, Switched
from kvmlog.client.statistics import parameters, report_of
from kvmlog.control.sampling import EVERY_EXIT, Sampling
from kvmlog.stat.query import Query
from kvmlog.stat.report import Report
from kvmlog.util.closeable import Closeable

__all__ = ["Client", "RpcError", "RpcFaultError", "RpcUnreachableError"]


class Client(Closeable):
    """One server. Raises RpcError, RpcFaultError for the server's refusals. One thread at a time.

    url_or_host: "host1", "host1:50080", "https://host1:50080". token: who calls, as `kvmlog rpc`
    knows it. tls_ca: PEM file with the certificates to trust (default: the system's), tls_cert and
    tls_key: PEM files of the client's own; any of the three means TLS. timeout_s: for connecting,
    and for each call. connect_tries: how often connecting is tried; a call is never repeated.
    """

    def __init__(
        self,
        url_or_host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        token: str | None = None,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        timeout_s: float = 10.0,
        connect_tries: int = CONNECT_TRIES,
    ) -> None:
        wants_tls = any((tls_ca, tls_cert, tls_key))
        host, port, tls = parse_address(url_or_host, port, wants_tls)
        if wants_tls and not tls:
            raise RpcError(f"{url_or_host}: plain HTTP, with options for TLS; give https://")
        context = _tls(tls_ca, tls_cert, tls_key) if tls else None
        self._link = Connection(host, port, token, context, timeout_s, connect_tries)

    @property
    def name(self) -> str:
        """Whom it calls, as HOST:PORT."""
        return self._link.name

    def close(self) -> None:
        """Ends the connection; a later call makes another."""
        self._link.close()

    def call(self, method: str, *parameters: Any) -> Any:
        """Any method as it is: what XML-RPC carries of its result."""
        return self._link.call(method, *parameters)

    def switch(
        self,
        on: bool,
        vm: Sequence[str] = (),
        for_s: float | None = None,
        recorded: Sampling = EVERY_EXIT,
    ) -> Switched:
        """Switches tracing, as SwitchClient.switch() does."""
        asked: dict[str, Any] = {"on": on, **recorded.arguments()}
        if vm:
            asked["vm"] = list(vm)
        if for_s is not None:
            asked["for_s"] = for_s
        return replies.switched(self._link.call("kvmSwitch", asked))

    def status(self) -> Status:
        """What bridge and ring tell."""
        return replies.status(self._link.call("kvmStatus"))

    def records(
        self,
        count: int | None = None,
        since: tuple[str, int] | None = None,
        vm: Sequence[str] = (),
        reason: Sequence[str] = (),
        slower_than_ns: int = 0,
    ) -> Records:
        """The newest records, or the first from the position (ring_id, index) on.

        vm, reason, slower_than_ns: of these guests and reasons, and exits that took so long; losses
        and switches are always among them. The server bounds the count of a reply.
        """
        asked: dict[str, Any] = {"form": "binary"}
        if count is not None:
            asked["count"] = count
        if since is not None:
            asked |= {"ring_id": since[0], "since": str(since[1])}
        if slower_than_ns:
            asked["slower_than_ns"] = str(slower_than_ns)
        asked |= {name: list(words) for name, words in (("vm", vm), ("reason", reason)) if words}
        return replies.records(self._link.call("kvmRecords", asked))

    def statistics(
        self, view: Query | None = None, vm: Sequence[str] = (), over_s: float | None = None
    ) -> tuple[Report, list[str]]:
        """A report, and what is to be known of it; over_s: of the next seconds."""
        view = view or Query()
        asked = parameters(view, vm, over_s)
        return report_of(self._link.call("kvmStatistics", asked, longer_s=over_s or 0.0), view)

    def pending(self, vm: Sequence[str] = ()) -> Pending:
        """vCPUs that are in an exit now, longest first."""
        asked: dict[str, Any] = {"form": "binary"}
        if vm:
            asked["vm"] = list(vm)
        return replies.pending(self._link.call("kvmPending", asked))

    def guests(self, ended: bool = False) -> Guests:
        """The guests that run; ended: those that have ended, too."""
        return replies.guests(self._link.call("kvmGuests", {"all": ended}))

    def explain(
        self, reason: str | None = None, isa: Literal["vmx", "svm", "arm64"] | None = None
    ) -> list[Explained]:
        """The exit reasons that a name or number means; None: all."""
        given = [word for word in (reason, isa) if word is not None]
        return replies.explained(self._link.call("kvmExplain", *given))


def _tls(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    if key is not None and cert is None:
        raise RpcError(f"{key}: a key without its certificate; give --tls-cert too")
    for path in (ca, cert, key):
        if path is not None and not os.access(path, os.R_OK):
            raise RpcError(f"{path}: cannot be read; give a PEM file that you may read")
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if ca is not None:
            # Whatever the file holds is trusted, be it the server's own certificate alone.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if cert is not None:
            context.load_cert_chain(cert, key)
    except (OSError, ValueError) as error:
        what = ", ".join(path for path in (ca, cert, key) if path is not None)
        raise RpcError(f"{what}: no PEM files that fit together ({error})") from None
    return context
