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
from typing import TYPE_CHECKING, Any, Literal

from kvmlog.client import past, replies
from kvmlog.client.connection import (
    CONNECT_TRIES,
    DEFAULT_PORT,
    REPLY_BYTES,
    Connection,
    RpcError,
    parse_address,
)
from kvmlog.client.replies import Guests, Pending, Records, Status, Switched
from kvmlog.client.statistics import parameters, report_of
from kvmlog.control.sampling import EVERY_EXIT, Sampling
from kvmlog.exits.explain.explanation import Explained
from kvmlog.stat.query import Query
from kvmlog.stat.report import Report
from kvmlog.util.closeable import Closeable
from kvmlog.util.tls import restrict

if TYPE_CHECKING:
    from kvmlog.client.vmstats import VmStats
    from kvmlog.why.verdict import Verdict


class Client(Closeable):
    """A client of one server, for one thread at a time. Raises RpcError, RpcFaultError for a fault.

    url_or_host: "host1", "host1:50080", "https://host1:50080". token: a token of the server's token
    file. tls_ca: PEM file with the certificates to trust (default: the system's), tls_cert and
    tls_key: PEM files of the client's own; any of the three means TLS. timeout_s: for connecting,
    and for each call. connect_tries: how often connecting is tried; a call is never repeated.
    context: of tls_context(), in place of the three, for many clients: making one takes long.
    reply_bytes: of a reply at most.
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
        context: ssl.SSLContext | None = None,
        reply_bytes: int = REPLY_BYTES,
    ) -> None:
        wants_tls = any((tls_ca, tls_cert, tls_key, context))
        host, port, tls = parse_address(url_or_host, port, wants_tls)
        if wants_tls and not tls:
            raise RpcError(f"{url_or_host}: plain HTTP, with options for TLS; give https://")
        if context is None and tls:
            context = tls_context(tls_ca, tls_cert, tls_key)
        self._connection = Connection(
            host, port, token, context, timeout_s, connect_tries, reply_bytes
        )

    @property
    def name(self) -> str:
        """The server, as HOST:PORT."""
        return self._connection.name

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        self._connection.close()

    def interrupt(self) -> None:
        """End the call under way, from another thread: it raises RpcError."""
        self._connection.interrupt()

    def call(self, method: str, *parameters: Any) -> Any:
        """Call any method; return its result as XML-RPC carries it."""
        return self._connection.call(method, *parameters)

    def switch(
        self,
        on: bool,
        vm: Sequence[str] = (),
        for_s: float | None = None,
        sampling: Sampling = EVERY_EXIT,
    ) -> Switched:
        """Switch tracing, as SwitchClient.switch() does; return what holds now."""
        params: dict[str, Any] = {"on": on, **sampling.arguments()}
        if vm:
            params["vm"] = list(vm)
        if for_s is not None:
            params["for_s"] = for_s
        return replies.parse_switch(self._connection.call("kvmSwitch", params))

    def status(self) -> Status:
        """Return the status of bridge and ring."""
        return replies.parse_status(self._connection.call("kvmStatus"))

    def records(
        self,
        count: int | None = None,
        since: tuple[str, int] | None = None,
        vm: Sequence[str] = (),
        reason: Sequence[str] = (),
        slower_than_ns: int = 0,
    ) -> Records:
        """Return the newest records, or the first from the position (ring_id, index) on.

        vm, reason, slower_than_ns: only exits of these guests and reasons that took so long; losses
        and switches are always included. The server bounds the count of a reply.
        """
        params: dict[str, Any] = {"form": "binary"}
        if count is not None:
            params["count"] = count
        if since is not None:
            params |= {"ring_id": since[0], "since": str(since[1])}
        if slower_than_ns:
            params["slower_than_ns"] = str(slower_than_ns)
        params |= {name: list(words) for name, words in (("vm", vm), ("reason", reason)) if words}
        return replies.parse_records(self._connection.call("kvmRecords", params))

    def statistics(
        self,
        query: Query | None = None,
        vm: Sequence[str] = (),
        over_s: float | None = None,
        *,
        fresh: bool = False,
    ) -> tuple[Report, list[str]]:
        """Return a report, and notes about it, as the bridge wrote it last.

        over_s: of the next seconds; fresh: wait until all exits before the call are counted.
        """
        query = query or Query()
        params = parameters(query, vm, over_s, fresh=fresh)
        return report_of(
            self._connection.call("kvmStatistics", params, longer_s=over_s or 0.0), query
        )

    def pending(self, vm: Sequence[str] = ()) -> Pending:
        """Return the vCPUs that are in an exit now, longest first."""
        params: dict[str, Any] = {"form": "binary"}
        if vm:
            params["vm"] = list(vm)
        return replies.parse_pending(self._connection.call("kvmPending", params))

    def guests(self, ended: bool = False) -> Guests:
        """Return the running guests; ended: those that have ended, too."""
        return replies.parse_guests(self._connection.call("kvmGuests", {"all": ended}))

    def vm_stats(self, vm: Sequence[str] = ()) -> VmStats:
        """Return use and state of VMs, all without names, UUIDs or pids, and of their hosts."""
        # Not with the module: the model of VMs takes as long to load as all the rest.
        from kvmlog.client.vmstats import parameters, parse_vm_stats

        return parse_vm_stats(self._connection.call("vmStats", parameters(vm)))

    def why(self, vm: str, for_s: float = 10.0, *, trace: bool = False) -> Verdict:
        """Watch a VM for some seconds, and return what slows it down.

        vm: name, UUID or pid; for_s: 1 to 60; trace: where tracing is off, switch it on for that
        time, which takes the role switch.
        """
        # Not with the module, as vm_stats().
        from kvmlog.client.why import parameters, parse_why

        given = parameters(vm, for_s, trace=trace)
        return parse_why(self._connection.call("kvmWhy", given, longer_s=for_s))

    def diagnostics(self, vm: str, kind: str) -> dict[str, Any]:
        """Return a VM in a format of OpenStack's: nova-2.48, or nova (docs/schemas)."""
        return past.figures(self._connection.call("vmDiagnostics", vm, kind))

    def services(self, host: str | None = None, binary: str | None = None) -> list[dict[str, Any]]:
        """Return the services of the host, as docs/schemas/service.json; exactly these."""
        params = _given(host=host, binary=binary)
        return past.documents(self._connection.call("serviceList", params))

    def update_service(
        self,
        service_id: str,
        *,
        enabled: bool | None = None,
        disabled_reason: str | None = None,
        forced_down: bool | None = None,
    ) -> dict[str, Any]:
        """Enable, disable or force down a service; return it as docs/schemas/service-2.53.json."""
        status = None if enabled is None else "enabled" if enabled else "disabled"
        params = _given(status=status, disabled_reason=disabled_reason, forced_down=forced_down)
        return past.document(self._connection.call("serviceUpdate", service_id, params))

    def hosts(self) -> list[dict[str, Any]]:
        """Return hosts of VMs and of enabled services, as docs/schemas/host-service.json."""
        return past.documents(self._connection.call("hostList"))

    def hypervisors(
        self, pattern: str | None = None, *, servers: bool = False
    ) -> list[dict[str, Any]]:
        """Return the hosts of VMs, as docs/schemas/hypervisor-listed.json.

        pattern: those with it in their names; servers: with their VMs.
        """
        params = _given(pattern=pattern, servers=servers or None)
        return past.documents(self._connection.call("hypervisorList", params))

    def hypervisor_details(self, kind: str) -> list[dict[str, Any]]:
        """Return the hosts of VMs in detail; kind: nova-2.53 or nova-2.88 (docs/schemas)."""
        return past.hypervisors(self._connection.call("hypervisorDetail", kind))

    def hypervisor_statistics(self) -> dict[str, Any]:
        """Return the sums over all enabled hosts, as docs/schemas/hypervisor-statistics.json."""
        return past.document(self._connection.call("hypervisorStatistics"))

    def limits(self, project: str | None = None) -> dict[str, Any]:
        """Return the limits of an owner, without one of all VMs, as docs/schemas/limits.json."""
        given = () if project is None else (project,)
        return past.document(self._connection.call("projectLimits", *given))

    def actions(
        self,
        vm: str | None = None,
        *,
        limit: int | None = None,
        marker: str | None = None,
        since: str | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return what was done to VMs, newest first, as docs/schemas/instance-action-2.84.json.

        marker: the request_id of the last one of the page before; since, before: ISO 8601.
        """
        params = _given(vm=vm, limit=limit, marker=marker, since=since, before=before)
        return past.documents(self._connection.call("vmActions", params))

    def action(self, vm: str, request_id: str) -> dict[str, Any]:
        """Return one of a VM's actions with its events."""
        return past.document(self._connection.call("vmAction", vm, request_id))

    def faults(
        self, vm: str | None = None, *, limit: int | None = None, since: str | None = None
    ) -> list[dict[str, Any]]:
        """Return what went wrong with VMs, newest first, as docs/schemas/fault.json."""
        params = _given(vm=vm, limit=limit, since=since)
        return past.documents(self._connection.call("vmFaults", params))

    def usage(
        self,
        start: str | None = None,
        end: str | None = None,
        *,
        project: str | None = None,
        detailed: bool = False,
        limit: int | None = None,
        marker: str | None = None,
    ) -> dict[str, Any]:
        """Return what owners used over a period, ISO 8601, and since when anything is known.

        tenant_usages: as docs/schemas/tenant-usage-2.40.json; detailed: with each VM. next_marker:
        of the next page, None for the last.
        """
        params = _given(
            start=start,
            end=end,
            project=project,
            detailed=detailed or None,
            limit=limit,
            marker=marker,
        )
        return past.document(self._connection.call("projectUsage", params))

    def explain(
        self, reason: str | None = None, isa: Literal["vmx", "svm", "arm64"] | None = None
    ) -> list[Explained]:
        """Return the exit reasons that a name or number means; None: all."""
        given = [word for word in (reason, isa) if word is not None]
        return replies.parse_explain(self._connection.call("kvmExplain", *given))


def _given(**params: Any) -> dict[str, Any]:
    """Return the parameters that are given."""
    return {name: value for name, value in params.items() if value is not None}


def tls_context(
    ca: str | None = None, cert: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """Return how servers are verified, and what is shown to them: PEM files, as of Client."""
    if key is not None and cert is None:
        raise RpcError(f"{key}: a key without its certificate; give --tls-cert too")
    for path in (ca, cert, key):
        if path is not None and not os.access(path, os.R_OK):
            raise RpcError(f"{path}: cannot be read; give a PEM file that you may read")
    try:
        context = ssl.create_default_context(cafile=ca)
        restrict(context)
        if ca is not None:
            # Whatever the file holds is trusted, be it the server's own certificate alone.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if cert is not None:
            context.load_cert_chain(cert, key)
    except (OSError, ValueError) as error:
        what = ", ".join(path for path in (ca, cert, key) if path is not None)
        raise RpcError(f"{what}: no PEM files that fit together ({error})") from None
    return context
