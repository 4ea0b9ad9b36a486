# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's list of hypervisors: of each id, name, state and status, and its servers if asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot
from kvmlog.vmstats.views.errors import NoHypervisorError
from kvmlog.vmstats.views.hypervisor import NO_SERVICES, Services, identity, servers

_LISTED: Final = ("id", "hypervisor_hostname", "state", "status", "servers")


def document(
    hosts: Iterable[Host],
    snapshot: Snapshot,
    now: Moment,
    *,
    with_servers: bool = False,
    services: Services = NO_SERVICES,
) -> list[dict[str, Any]]:
    """Return the list of some hosts of a snapshot."""
    found = []
    for host in hosts:
        whole = identity(host, snapshot, now, services.get(host.hostname))
        if with_servers:
            whole["servers"] = servers(host, snapshot)
        found.append(brief(whole))
    return found


def brief(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the list has of a hypervisor's detail."""
    return {name: detail[name] for name in _LISTED if name in detail}


def matching(hosts: Sequence[Host], pattern: str) -> list[Host]:
    """Return the hosts whose name has the pattern in it; NoHypervisorError where none does."""
    found = [host for host in hosts if pattern in host.hostname]
    if not found:
        names = ", ".join(host.hostname for host in hosts) or "none is known yet"
        raise NoHypervisorError(
            f"no hypervisor matching '{clean(pattern)}' could be found; there are: {names}"
        )
    return found
