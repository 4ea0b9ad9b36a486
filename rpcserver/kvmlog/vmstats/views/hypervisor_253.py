# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's hypervisor detail of microversions 2.53 to 2.87, with capacities.

Used is what Nova's resource tracker adds up: what is reserved for the host, and the flavors of all
instances, running or not. A domain without a flavor counts with its vCPUs, its maximum memory and
the capacity of its disks, as far as that is known.
"""

from __future__ import annotations

from typing import Any, Final

from kvmlog.vmstats.host import Host, HostCpu
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.vmstats.views.devices import VmDisk, disks
from kvmlog.vmstats.views.hypervisor import identity, servers, vms_on
from kvmlog.vmstats.views.units import GIB, MIB, in_units, known

# Nova's reserved_host_memory_mb; it reserves no CPU and no disk by default.
_RESERVED_MIB: Final = 512


def document(
    host: Host, snapshot: Snapshot, now: Moment, *, with_servers: bool = False
) -> dict[str, Any]:
    """Return the detail; capacities are null where only the host itself could tell them."""
    vms = vms_on(host, snapshot)
    memory_mib = host.memory.total_bytes // MIB
    memory_used_mib = _RESERVED_MIB + sum(_memory_mib(vm) for vm in vms)
    disk_gib = in_units(host.disk.total_bytes if host.disk else None, GIB)
    disk_used_gib = None if disk_gib is None else int(sum(_disk_gib(vm) for vm in vms))
    detail = {
        **identity(host, snapshot, now),
        "cpu_info": _cpu_info(host.cpu),
        # What Nova counts there are its own tasks: builds, migrations.
        "current_workload": None,
        "disk_available_least": _disk_available_least(host, vms),
        "free_disk_gb": None if disk_gib is None else disk_gib - (disk_used_gib or 0),
        "free_ram_mb": memory_mib - memory_used_mib,
        "local_gb": disk_gib,
        "local_gb_used": disk_used_gib,
        "memory_mb": memory_mib,
        "memory_mb_used": memory_used_mib,
        "running_vms": len(vms),
        "vcpus": host.cpu.count,
        "vcpus_used": sum(_vcpus(vm) for vm in vms),
    }
    return detail | ({"servers": servers(host, snapshot)} if with_servers else {})


def _vcpus(vm: Vm) -> int:
    instance = vm.sample.definition.instance
    if instance is not None and instance.flavor_vcpus is not None:
        return instance.flavor_vcpus
    return vm.sample.definition.vcpus


def _memory_mib(vm: Vm) -> int:
    instance = vm.sample.definition.instance
    if instance is not None and instance.flavor_memory_mib is not None:
        return instance.flavor_memory_mib
    return vm.sample.definition.maximum_memory_bytes // MIB


def _disk_gib(vm: Vm) -> float:
    instance = vm.sample.definition.instance
    if instance is not None and instance.flavor_disk_gib is not None:
        ephemeral, swap_mib = instance.flavor_ephemeral_gib or 0, instance.flavor_swap_mib or 0
        return instance.flavor_disk_gib + ephemeral + swap_mib / 1024
    return sum(disk.block.capacity_bytes or 0 for disk in disks(vm) if _is_file(disk)) / GIB


def _is_file(disk: VmDisk) -> bool:
    """Return whether the image lies in a file system, and not in a pool of its own."""
    return disk.disk.kind == "file"


def _disk_available_least(host: Host, vms: list[Vm]) -> int | None:
    """Return what would be free, in GiB, were all images as large as their guests see them."""
    if host.disk is None:
        return None
    yet_to_grow = sum(
        max(0, disk.block.capacity_bytes - disk.block.allocation_bytes)
        for vm in vms
        for disk in disks(vm)
        if _is_file(disk)
        and disk.block.capacity_bytes is not None
        and disk.block.allocation_bytes is not None
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
