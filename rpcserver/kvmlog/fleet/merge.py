# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers of many hosts as one: pure functions of Nova's documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kvmlog.client.past import merged
from kvmlog.config.owner_limits import ANY, OwnerLimits
from kvmlog.fleet.hosts import FleetHost
from kvmlog.vmstats.views.limits import CAPACITY, CONFIGURED, NONE
from kvmlog.vmstats.views.units import known

# Of each host, with its documents.
Told = Iterable[tuple[FleetHost, Sequence[Mapping[str, Any]]]]

UNKNOWN: Final = "UNKNOWN"
# The service of a host of which no other has ever been heard.
RPC: Final = "kvmlog-rpc"
SCOPE: Final = "fleet"
_USED: Final = ("totalCoresUsed", "totalRAMUsed", "totalInstancesUsed")
_MOST: Final = ("maxTotalCores", "maxTotalRAMSize", "maxTotalInstances")


def hypervisors(told: Told) -> tuple[list[dict[str, Any]], list[str]]:
    """Return each hypervisor once, and a sentence for each that more than one host tells of.

    Two collectors may poll the same libvirt: one for which it is up comes first.
    """
    found: dict[str, dict[str, Any]] = {}
    tellers: dict[str, list[str]] = {}
    for host, documents in told:
        for one in documents:
            own = str(one["id"])
            tellers.setdefault(own, []).append(host.name)
            if own not in found or (found[own]["state"], one["state"]) == ("down", "up"):
                found[own] = dict(one)
    notes = [
        f"{found[own]['hypervisor_hostname']} is told of by {', '.join(names)}; it counts once"
        for own, names in tellers.items()
        if len(names) > 1
    ]
    return list(found.values()), notes


def with_servers(
    details: Iterable[Mapping[str, Any]], listed: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return hypervisors with the servers that another list has of them."""
    servers = {one["id"]: one.get("servers", []) for one in listed}
    return [{**one, "servers": servers.get(one["id"], [])} for one in details]


def unknown_service(host: str, binary: str = RPC) -> dict[str, Any]:
    """Return the service of a host that does not answer, as Nova has those of a cell that is down.

    What is not known is absent.
    """
    return {"binary": binary, "host": host, "status": UNKNOWN}


def usage(pages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the usages of hosts as one: sums for each owner.

    A tenant's period is from the first host's start to the last one's stop; observed_since is when
    all of them were looked at.
    """
    if not pages:
        return {"observed_since": None, "tenant_usages": [], "next_marker": None}
    periods: dict[str | None, list[tuple[str, str]]] = {}
    for page in pages:
        for one in page["tenant_usages"]:
            periods.setdefault(one["tenant_id"], []).append((one["start"], one["stop"]))
    tenants = [
        {
            **one,
            "start": min(start for start, _ in periods[one["tenant_id"]]),
            "stop": max(stop for _, stop in periods[one["tenant_id"]]),
        }
        for one in merged(pages)["tenant_usages"]
    ]
    return {
        "observed_since": max(page["observed_since"] for page in pages),
        "tenant_usages": tenants,
        "next_marker": None,
    }


def limits(
    told: Sequence[Mapping[str, Any]],
    project: str | None,
    owners: Mapping[str, OwnerLimits],
    *,
    complete: bool,
) -> dict[str, Any]:
    """Return an owner's limits over some hosts, and the sum of what is used there.

    Limits are those configured here (owners), not the tenant's quota; without any they are the sum
    of the hosts' capacities where all tell one. A host's own limit of an owner is of that host.
    complete: all hosts answered.
    """
    used = {name: sum(one["absolute"][name] for one in told) for name in _USED}
    configured = None if project is None else owners.get(project, owners.get(ANY))
    most: Mapping[str, int | None] = {}
    source = NONE
    if configured is not None:
        source = CONFIGURED
        most = dict(
            zip(_MOST, (configured.cores, configured.ram_mib, configured.instances), strict=True)
        )
    elif told and all(one["source"] == CAPACITY for one in told):
        source = CAPACITY
        most = {
            name: sum(one["absolute"][name] for one in told)
            for name in _MOST
            if all(name in one["absolute"] for one in told)
        }
    return {
        "absolute": {**known(dict(most)), **used},
        "rate": [],
        "scope": SCOPE,
        "project_id": project,
        "source": source,
        "complete": complete and all(one["complete"] for one in told),
    }
