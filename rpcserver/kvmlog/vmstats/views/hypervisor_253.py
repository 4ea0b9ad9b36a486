# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's hypervisor detail of microversions 2.53 to 2.87, with capacities.

Used is what Nova's resource tracker adds up: what is reserved for the host, and the flavors of all
instances, running or not (kvmlog.vmstats.views.flavors).
"""

from __future__ import annotations

from typing import Any

from kvmlog.vmstats.host import Host, HostCpu
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.vmstats.views import flavors
from kvmlog.vmstats.views.hypervisor import (
    UNCONFIGURED,
    Reserved,
    Service,
    identity,
    servers,
    vms_on,
)
from kvmlog.vmstats.views.units import GIB, MIB, in_units, known


def document(
    host: Host,
    snapshot: Snapshot,
    now: Moment,
    *,
    with_servers: bool = False,
    service: Service | None = None,
    reserved: Reserved = UNCONFIGURED,
) -> dict[str, Any]:
    """Return the detail; capacities are null where only the host itself could tell them."""
    detail = {
        **identity(host, snapshot, now, service),
        "cpu_info": _cpu_info(host.cpu),
        # What Nova counts there are its own tasks: builds, migrations.
        "current_workload": None,
        **capacities(host, snapshot, reserved),
    }
    return detail | ({"servers": servers(host, snapshot)} if with_servers else {})


def capacities(host: Host, snapshot: Snapshot, reserved: Reserved = UNCONFIGURED) -> dict[str, Any]:
    """Return what a host has, and what of it is used."""
    vms = vms_on(host, snapshot)
    memory_mib = host.memory.total_bytes // MIB
    memory_used_mib = reserved.ram_mib + sum(map(flavors.memory_mib, vms))
    disk_gib = in_units(host.disk.total_bytes if host.disk else None, GIB)
    disk_used_gib = None if disk_gib is None else int(sum(map(flavors.disk_gib, vms)))
    return {
        "disk_available_least": _disk_available_least(host, vms),
        "free_disk_gb": None if disk_gib is None else disk_gib - (disk_used_gib or 0),
        "free_ram_mb": memory_mib - memory_used_mib,
        "local_gb": disk_gib,
        "local_gb_used": disk_used_gib,
        "memory_mb": memory_mib,
        "memory_mb_used": memory_used_mib,
        "running_vms": len(vms),
        "vcpus": host.cpu.count,
        "vcpus_used": reserved.cpus + sum(map(flavors.vcpus, vms)),
    }


def _disk_available_least(host: Host, vms: list[Vm]) -> int | None:
    """Return what would be free, in GiB, were all images as large as their guests see them."""
    if host.disk is None:
        return None
    yet_to_grow = sum(
        max(0, disk.block.capacity_bytes - disk.block.allocation_bytes)
        for vm in vms
        for disk in flavors.file_disks(vm)
        if disk.block.capacity_bytes is not None and disk.block.allocation_bytes is not None
    )
    return (host.disk.available_bytes - yet_to_grow) // GIB


def _cpu_info(cpu: HostCpu) -> dict[str, Any]:
    topology = {
        "cells": cpu.nodes,
        "sockets": cpu.sockets,
        "cores": cpu.cores,
        "threads": cpu.threads,
    }
    return known(
        {
            "arch": cpu.arch,
            "model": cpu.model,
            "vendor": cpu.vendor,
            "features": list(cpu.features),
            "topology": known(topology),
        }
    )
