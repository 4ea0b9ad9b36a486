# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's resources of one host (os-hosts): in total, used now, by its instances, by project."""

from __future__ import annotations

from typing import Any

from kvmlog.vmstats.host import Host
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.vmstats.views import flavors
from kvmlog.vmstats.views.hypervisor import UNCONFIGURED, Reserved, vms_on
from kvmlog.vmstats.views.hypervisor_253 import capacities


def document(
    host: Host, snapshot: Snapshot, reserved: Reserved = UNCONFIGURED
) -> list[dict[str, Any]]:
    """Return the resources; disk_gb is null where only the host itself could tell it."""
    vms = vms_on(host, snapshot)
    whole = capacities(host, snapshot, reserved)
    by_project: dict[str | None, list[Vm]] = {}
    for vm in vms:
        by_project.setdefault(flavors.owner(vm), []).append(vm)

    def resource(project: str | None, cpu: int, memory_mb: int, disk_gb: int | None) -> Any:
        found = {"host": host.hostname, "project": project, "cpu": cpu}
        return {"resource": {**found, "memory_mb": memory_mb, "disk_gb": disk_gb}}

    def sums(project: str | None, counted: list[Vm]) -> Any:
        return resource(
            project,
            sum(map(flavors.vcpus, counted)),
            sum(map(flavors.memory_mib, counted)),
            int(sum(map(flavors.disk_gib, counted))),
        )

    return [
        resource("(total)", whole["vcpus"], whole["memory_mb"], whole["local_gb"]),
        resource(
            "(used_now)", whole["vcpus_used"], whole["memory_mb_used"], whole["local_gb_used"]
        ),
        sums("(used_max)", vms),
        *(sums(project, owned) for project, owned in by_project.items()),
    ]
