# SPDX-License-Identifier: GPL-2.0-or-later
"""VDSM's statistics of a VM: RunningVmStats, mostly texts, and the few fields of one that is down.

Unlike VDSM, cpuUser is what the vCPU threads spent in the guest and cpuSys the rest: it computes
both from cpu.user, in which the guest's time is included on hosts with cgroup v2. Latencies without
a request are left out, not 0. Networks are found by MAC, since names of host devices change.
"""

from __future__ import annotations

from typing import Any, Final

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Memory, State
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.devices import VmDisk, VmNic, disks, nics
from kvmlog.vmstats.views.units import (
    KIB,
    in_units,
    known,
    rounded,
    seconds_between,
    text,
    total,
)

_STATUS: Final = {
    State.NOSTATE: "Up",
    State.RUNNING: "Up",
    State.BLOCKED: "Up",
    State.PAUSED: "Paused",
    State.SHUTDOWN: "Powering down",
    State.SHUTOFF: "Down",
    State.CRASHED: "Down",
    State.PMSUSPENDED: "Paused",
}
_GIGABIT_MODELS: Final = ("e1000", "e1000e", "virtio")


def document(vm: Vm, now: Moment) -> dict[str, Any]:
    """Return the statistics."""
    sample = vm.sample
    kvm = sample.definition.kind == "kvm"
    identity = {
        "vmId": sample.uuid,
        "vmName": sample.name,
        "status": _STATUS[sample.state],
        "statusTime": str(now.realtime_ns // 1_000_000),
    }
    if not sample.active:
        return identity
    started = sample.started
    return known(
        {
            **identity,
            "vmType": "kvm" if kvm else None,
            "kvmEnable": "true" if kvm else "false",
            "pid": text(sample.pid),
            # VDSM's word for a QEMU that does not answer is -1.
            "monitorResponse": "-1" if sample.timed_out else "0",
            "elapsedTime": None if started is None else str(int(seconds_between(started, now))),
            "vcpuCount": str(sample.definition.vcpus),
            **_cpu(vm),
            "memUsage": _memory_usage(vm),
            "memoryStats": _memory(vm),
            "balloonInfo": _balloon(vm),
            "network": {nic.key: _network(nic, vm.sample.interfaces_taken) for nic in nics(vm)},
            "disks": {disk.target: _disk(disk) for disk in disks(vm)},
        }
    )


def _cpu(vm: Vm) -> dict[str, Any]:
    cpu, rates = vm.sample.cpu, vm.rates.cpu if vm.rates else None
    user = system = None
    if rates is not None and rates.guest_percent is not None:
        user = rates.guest_percent
        if rates.user_percent is not None and rates.system_percent is not None:
            system = rates.user_percent + rates.system_percent
    usage = total(cpu.user_ns, cpu.system_ns) if cpu else None
    return {
        "cpuUser": text(user),
        "cpuSys": text(system),
        "cpuUsage": text(usage),
        "cpuActual": None not in (user, system, usage),
    }


def _free_bytes(memory: Memory) -> int | None:
    return total(memory.unused_bytes, memory.disk_caches_bytes)


def _memory_usage(vm: Vm) -> str | None:
    """Return what is not free of the VM's maximum, in percent."""
    memory, maximum = vm.sample.memory, vm.sample.definition.maximum_memory_bytes
    free = _free_bytes(memory) if memory else None
    if free is None or not maximum:
        return None
    return str(max(0, int(100 - 100 * free / maximum)))


def _memory(vm: Vm) -> dict[str, Any] | None:
    memory = vm.sample.memory
    if memory is None or memory.available_bytes is None:
        return None
    rates = vm.rates.memory if vm.rates else None
    figures: dict[str, Any] = {
        "mem_total": text(in_units(memory.available_bytes, KIB)),
        "mem_unused": text(in_units(memory.unused_bytes, KIB)),
        "mem_free": text(in_units(_free_bytes(memory), KIB)),
    }
    if rates is not None:
        major, minor = rounded(rates.major_faults_per_s), rounded(rates.minor_faults_per_s)
        figures |= {
            "swap_in": _kib_per_s(rates.swap_in_bytes_per_s),
            "swap_out": _kib_per_s(rates.swap_out_bytes_per_s),
            "majflt": major,
            "minflt": minor,
            "pageflt": total(major, minor),
        }
    return known(figures)


def _kib_per_s(bytes_per_s: float | None) -> int | None:
    return None if bytes_per_s is None else round(bytes_per_s / KIB)


def _balloon(vm: Vm) -> dict[str, Any] | None:
    memory = vm.sample.memory
    if not vm.sample.definition.balloon or memory is None:
        return None
    # What the guest is guaranteed, and what it was asked for, only VDSM itself knows.
    return known(
        {
            "balloon_max": text(in_units(vm.sample.definition.maximum_memory_bytes, KIB)),
            "balloon_cur": text(in_units(memory.actual_bytes, KIB)),
            "ballooning_enabled": True,
        }
    )


def _network(nic: VmNic, taken: Moment | None) -> dict[str, Any]:
    interface = nic.interface
    gigabit = nic.nic is not None and nic.nic.model in _GIGABIT_MODELS
    return known(
        {
            "name": nic.target or nic.key,
            "macAddr": nic.mac,
            "speed": "1000" if gigabit else "100",
            "state": "unknown",
            "rx": text(interface.rx_bytes),
            "rxErrors": text(interface.rx_errors),
            "rxDropped": text(interface.rx_drops),
            "tx": text(interface.tx_bytes),
            "txErrors": text(interface.tx_errors),
            "txDropped": text(interface.tx_drops),
            "sampleTime": None if taken is None else taken.monotonic_ns / 1e9,
        }
    )


def _disk(disk: VmDisk) -> dict[str, Any]:
    block, rates = disk.block, disk.rates
    return known(
        {
            "truesize": text(block.allocation_bytes),
            "apparentsize": text(block.physical_bytes),
            "readRate": text(rates.read_bytes_per_s),
            "writeRate": text(rates.write_bytes_per_s),
            "readBytes": text(block.read_bytes),
            "writtenBytes": text(block.write_bytes),
            "readOps": text(block.read_requests),
            "writeOps": text(block.write_requests),
            "readLatency": text(rates.read_latency_ns),
            "writeLatency": text(rates.write_latency_ns),
            "flushLatency": text(rates.flush_latency_ns),
        }
    )
