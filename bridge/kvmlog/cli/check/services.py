# SPDX-License-Identifier: GPL-2.0-or-later
"""The services of a host, as its `kvmlog rpc` sees them, and by their heartbeats.

What can be looked at is believed more than its heartbeat; that somebody has disabled a service, or
forced it down, only the history knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kvmlog.cli.check.figures import Figure, Measured
from kvmlog.cli.check.status import State
from kvmlog.client import Client
from kvmlog.client.connection import RpcFaultError, RpcUnreachableError

# rpcserver.faults.NO_VM_STATISTICS, NO_HISTORY: none has run there, and nothing says it should.
_NO_COLLECTOR: Final = 114
_NO_HISTORY: Final = 130
_HISTORY: Final = "history"


def measure(connect: Callable[[], Client]) -> Measured:
    """Return how many services are down, and which; RpcError where the server cannot tell."""
    try:
        with connect() as client:
            looked_at = list(_services(client))
            found = [*looked_at, *_of_history(client, {name for name, _, _ in looked_at})]
    except RpcUnreachableError as error:
        found = [("rpc", State.CRITICAL, str(error))]
    down = sum(state is not State.OK for _, state, _ in found)
    return Measured(
        [Figure("down", down, "", high=len(found))],
        fixed=[(state, f"{name}: {words}") for name, state, words in found],
        good=f"{', '.join(name for name, _, _ in found)} are up",
        notes=[f"{state.name} {name}: {words}" for name, state, words in found],
    )


def _services(client: Client) -> Iterator[tuple[str, State, str]]:
    """Yield each service, its state, and what is to be said of it."""
    status = client.status()
    yield "rpc", State.OK, f"kvmlog {status.version}"
    bridge = status.bridge
    if bridge is None:
        yield "bridge", State.CRITICAL, status.bridge_error or "does not answer"
        return
    yield "bridge", State.OK, f"up {bridge.get('uptime_s')} s, tracing is {bridge.get('state')}"
    source = bridge.get("source") or {}
    if bridge.get("trouble"):
        yield "source", State.WARNING, str(bridge["trouble"])
    elif not source.get("connected"):
        yield "source", State.WARNING, f"{source.get('name')} is not there"
    else:
        yield "source", State.OK, str(source.get("name"))
    stopped = (bridge.get("budget") or {}).get("stopped")
    if stopped:
        yield "tracing", State.WARNING, str(stopped)
    if status.ring is None:
        yield "ring", State.CRITICAL, status.ring_error or "cannot be read"
    yield from _collector(client)


def _collector(client: Client) -> Iterator[tuple[str, State, str]]:
    try:
        found = client.vm_stats()
    except RpcFaultError as error:
        if error.code != _NO_COLLECTOR:
            yield "vmstats", State.CRITICAL, str(error)
        return
    if found.late is not None:
        yield "vmstats", State.CRITICAL, found.late
        return
    for one in found.snapshot.collector.connections:
        if not one.connected:
            yield "vmstats", State.WARNING, f"{one.uri}: {one.error or 'does not answer'}"
            return
    yield "vmstats", State.OK, f"{len(found.snapshot.vms)} VMs"


def _of_history(client: Client, looked_at: set[str]) -> Iterator[tuple[str, State, str]]:
    """Yield what the history has of services beyond what was looked at."""
    try:
        found = {str(one["binary"]).removeprefix("kvmlog-"): one for one in client.services()}
    except RpcFaultError as error:
        if error.code != _NO_HISTORY:
            yield _HISTORY, State.UNKNOWN, str(error)
        return
    # Without one who listens there are no heartbeats: of the others nothing is known by them.
    heard = found.get(_HISTORY, {}).get("state") == "up"
    for name, one in found.items():
        if one["forced_down"]:
            yield name, State.CRITICAL, "forced down"
        elif one["status"] == "disabled":
            yield name, State.WARNING, f"disabled ({one['disabled_reason'] or 'no reason given'})"
        elif name in looked_at:
            continue
        elif one["state"] == "up":
            yield name, State.OK, one["detail"] or "up"
        elif heard or name == _HISTORY:
            yield name, State.CRITICAL, f"down, last seen {one['last_seen_up']}"
        else:
            yield name, State.UNKNOWN, "not known while the history is down"
