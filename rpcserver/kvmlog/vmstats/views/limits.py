# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's absolute limits, as far as a host can tell them honestly: its own, and what is used here.

A tenant's quota is kept elsewhere. What a host cannot know of it (key pairs, server groups) is
absent, and so is each limit that nothing gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kvmlog.config.owner_limits import ANY, OwnerLimits
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import lateness
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.vmstats.views import flavors
from kvmlog.vmstats.views.units import MIB, known

CONFIGURED: Final = "configured"
CAPACITY: Final = "host capacity × ratio − reserved"
NONE: Final = "none"


@dataclass(frozen=True)
class Rules:
    """What limits are made of where nothing else is configured, and what is."""

    owners: Mapping[str, OwnerLimits] = field(default_factory=dict)  # by project id, or ANY
    cpu_ratio: float = 0.0  # 0: capacity is no limit
    ram_ratio: float = 0.0
    reserved_cpus: int = 0
    reserved_ram_mib: int = 0


def document(
    snapshot: Snapshot, project_id: str | None, rules: Rules, now: Moment
) -> dict[str, Any]:
    """Return the limits of a project's VMs on these hosts, of all VMs without a project."""
    owned = _unique(
        vm for vm in snapshot.vms if project_id is None or flavors.owner(vm) == project_id
    )
    most, source = _most(snapshot.hosts, project_id, rules)
    return {
        "absolute": {
            **known(
                {
                    "maxTotalCores": most.cores,
                    "maxTotalRAMSize": most.ram_mib,
                    "maxTotalInstances": most.instances,
                }
            ),
            "totalCoresUsed": sum(map(flavors.vcpus, owned)),
            "totalRAMUsed": sum(map(flavors.memory_mib, owned)),
            "totalInstancesUsed": len(owned),
        },
        "rate": [],
        "scope": "host",
        "project_id": project_id,
        "source": source,
        "complete": _is_complete(snapshot, project_id, now),
    }


def _most(hosts: tuple[Host, ...], project_id: str | None, rules: Rules) -> tuple[OwnerLimits, str]:
    configured = None
    if project_id is not None:
        configured = rules.owners.get(project_id, rules.owners.get(ANY))
    if configured is not None:
        return configured, CONFIGURED
    found = OwnerLimits()
    if hosts and (rules.cpu_ratio or rules.ram_ratio):
        cores = sum(int(one.cpu.count * rules.cpu_ratio) - rules.reserved_cpus for one in hosts)
        ram_mib = sum(
            int(one.memory.total_bytes // MIB * rules.ram_ratio) - rules.reserved_ram_mib
            for one in hosts
        )
        found = OwnerLimits(
            max(0, cores) if rules.cpu_ratio else None, max(0, ram_mib) if rules.ram_ratio else None
        )
    return found, NONE if found == OwnerLimits() else CAPACITY


def _is_complete(snapshot: Snapshot, project_id: str | None, now: Moment) -> bool:
    """Return whether all that is used is counted: each VM known, and known whose it is."""
    if snapshot.collector.answering is not None or lateness(snapshot, now) is not None:
        return False
    return project_id is None or all(flavors.owner(vm) is not None for vm in snapshot.vms)


def _unique(vms: Iterable[Vm]) -> list[Vm]:
    """Return each VM once: one that is migrating is known at both ends."""
    return list({vm.sample.uuid: vm for vm in vms}.values())
