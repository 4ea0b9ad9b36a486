# SPDX-License-Identifier: GPL-2.0-or-later
"""What a VM counts as, to an engine that adds up its instances: its flavor, whether it runs or not.

A domain without a flavor counts with its vCPUs, its maximum memory and the capacity of its disks,
as far as that is known.
"""

from __future__ import annotations

from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.devices import VmDisk, disks
from kvmlog.vmstats.views.units import GIB, MIB


def vcpus(vm: Vm) -> int:
    """Return the virtual CPUs."""
    instance = vm.sample.definition.instance
    if instance is not None and instance.flavor_vcpus is not None:
        return instance.flavor_vcpus
    return vm.sample.definition.vcpus


def memory_mib(vm: Vm) -> int:
    """Return the memory, MiB."""
    instance = vm.sample.definition.instance
    if instance is not None and instance.flavor_memory_mib is not None:
        return instance.flavor_memory_mib
    return vm.sample.definition.maximum_memory_bytes // MIB


def disk_gib(vm: Vm) -> float:
    """Return root, ephemeral and swap disk, GiB; without a flavor the images in files."""
    instance = vm.sample.definition.instance
    if instance is not None and instance.flavor_disk_gib is not None:
        ephemeral, swap_mib = instance.flavor_ephemeral_gib or 0, instance.flavor_swap_mib or 0
        return instance.flavor_disk_gib + ephemeral + swap_mib / 1024
    return sum(disk.block.capacity_bytes or 0 for disk in file_disks(vm)) / GIB


def file_disks(vm: Vm) -> list[VmDisk]:
    """Return the disks whose image lies in a file system, and not in a pool of its own."""
    return [disk for disk in disks(vm) if disk.disk.kind == "file"]


def owner(vm: Vm) -> str | None:
    """Return the project that owns a VM, by Nova's metadata; None: it has none."""
    instance = vm.sample.definition.instance
    return None if instance is None else instance.project_id
