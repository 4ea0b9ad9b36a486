# SPDX-License-Identifier: GPL-2.0-or-later
"""CloudStack's GetVmStatsAnswer: a VmStatsEntry for each VM, under its instance name.

CloudStack adds up what it is told, so each caller gets the growth since its own poll before: a
cursor, which the caller's previous call gave, holds what it was told already. Beside it the growth
since the collector began, which needs none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.vmstats.accumulated import Accumulated
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.units import KIB, iso, seconds_between

# What VmStatsEntry says of the guest's free memory where it is not known.
_UNKNOWN_FREE: Final = -1


@dataclass(frozen=True)
class Told:
    """What a caller was told of one VM."""

    taken: Moment  # of the sample
    accumulated: Accumulated


# By connection and UUID: a VM that migrates, or did so once, is on two hosts, which count each by
# themselves. Only VMs that exist stay in it, so that it does not grow.
Cursor = Mapping[tuple[str, str], Told]


def deltas(vms: Iterable[Vm], cursor: Cursor, now: Moment) -> tuple[dict[str, Any], Cursor]:
    """Return the entries with the growth since the cursor, and the next cursor.

    Traffic is 0 in a VM's first entry. VMs that do not run or do not answer have no entry, and
    keep their place in the cursor.
    """
    vms = list(vms)
    places = {(vm.sample.uri, vm.sample.uuid) for vm in vms}
    told = {place: before for place, before in cursor.items() if place in places}
    entries = {}
    for key, vm in _readable(vms):
        place = (vm.sample.uri, vm.sample.uuid)
        before = told.get(place)
        growth = vm.accumulated if before is not None else Accumulated(vm.accumulated.since)
        if before is not None and before.accumulated.since == vm.accumulated.since:
            growth = _minus(vm.accumulated, before.accumulated)
        entries[key] = _entry(vm, growth, _utilization(vm, before, growth))
        told[place] = Told(vm.sample.taken, vm.accumulated)
    return entries, told


def accumulated(vms: Iterable[Vm], now: Moment) -> dict[str, Any]:
    """Return the entries with the growth since `since`, when the collector first saw each VM."""
    return {
        key: {
            **_entry(vm, vm.accumulated, _latest_utilization(vm)),
            "since": iso(vm.accumulated.since),
        }
        for key, vm in _readable(vms)
    }


def _readable(vms: Iterable[Vm]) -> list[tuple[str, Vm]]:
    """Return the VMs that can be read, by name, or by UUID where two of them have that name.

    Of a VM that is migrating only the end that runs, which has the figures.
    """
    found: dict[str, Vm] = {}
    for vm in vms:
        if vm.sample.active and not vm.sample.timed_out:
            other = found.get(vm.sample.uuid)
            if other is None or other.sample.state is not State.RUNNING:
                found[vm.sample.uuid] = vm
    names = Counter(vm.sample.name for vm in found.values())
    return [
        (vm.sample.name if names[vm.sample.name] == 1 else uuid, vm) for uuid, vm in found.items()
    ]


def _minus(now: Accumulated, before: Accumulated) -> Accumulated:
    return Accumulated(
        since=now.since,
        cpu_time_ns=max(0, now.cpu_time_ns - before.cpu_time_ns),
        rx_bytes=max(0, now.rx_bytes - before.rx_bytes),
        tx_bytes=max(0, now.tx_bytes - before.tx_bytes),
        read_bytes=max(0, now.read_bytes - before.read_bytes),
        read_requests=max(0, now.read_requests - before.read_requests),
        write_bytes=max(0, now.write_bytes - before.write_bytes),
        write_requests=max(0, now.write_requests - before.write_requests),
    )


def _utilization(vm: Vm, before: Told | None, growth: Accumulated) -> float | None:
    """Return the CPU's use since the caller's poll before, the latest where there was none since.

    None: not known.
    """
    vcpus = vm.sample.definition.vcpus
    elapsed_s = 0.0 if before is None else seconds_between(before.taken, vm.sample.taken)
    if vm.sample.cpu is None or not elapsed_s or not vcpus:
        return _latest_utilization(vm)
    return 100 * growth.cpu_time_ns / (elapsed_s * 1e9 * vcpus)


def _latest_utilization(vm: Vm) -> float | None:
    return vm.rates.cpu.percent_of_vcpus if vm.rates and vm.rates.cpu else None


def _entry(vm: Vm, growth: Accumulated, utilization: float | None) -> dict[str, Any]:
    sample, memory = vm.sample, vm.sample.memory
    actual = memory.actual_bytes if memory else None
    unused = memory.unused_bytes if memory else None
    network, disk = sample.interfaces is not None, sample.blocks is not None
    return {
        "entityType": "vm",
        # CloudStack's number of the VM, which it puts in itself.
        "vmId": None,
        "vmUuid": sample.uuid,
        "cpuUtilization": utilization,
        "numCPUs": sample.definition.vcpus,
        "memoryKBs": sample.definition.maximum_memory_bytes / KIB,
        "targetMemoryKBs": (sample.definition.memory_bytes if actual is None else actual) / KIB,
        "intFreeMemoryKBs": _UNKNOWN_FREE if unused is None else unused / KIB,
        "networkReadKBs": growth.rx_bytes / KIB if network else None,
        "networkWriteKBs": growth.tx_bytes / KIB if network else None,
        "diskReadKBs": growth.read_bytes / KIB if disk else None,
        "diskWriteKBs": growth.write_bytes / KIB if disk else None,
        "diskReadIOs": growth.read_requests if disk else None,
        "diskWriteIOs": growth.write_requests if disk else None,
    }
