# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's server diagnostics since microversion 2.48: the same fields for each hypervisor.

Each field is there, null where it is not known; Nova's own driver leaves utilisation and rates so.
Memory is in MiB, and `used` what the guest uses, as Nova's API reference says (its driver gives
neither).
"""

from __future__ import annotations

from typing import Any, Final

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Sample
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.devices import VmDisk, VmNic, disks, nics
from kvmlog.vmstats.views.nova_state import power_state, refuse_unless_running
from kvmlog.vmstats.views.units import MIB, in_units, rounded, seconds_between

# What Nova names the image of a config drive, in a folder of the instance's or in a pool.
_CONFIG_DRIVE: Final = "disk.config"


def document(vm: Vm, now: Moment) -> dict[str, Any]:
    """Return the diagnostics; NotRunningError for a domain that does not run."""
    sample = vm.sample
    refuse_unless_running(sample)
    cpu_details, disk_details = _cpus(vm), [_disk(disk) for disk in disks(vm)]
    nic_details = [_nic(nic) for nic in nics(vm)]
    maximum = sample.memory.maximum_bytes if sample.memory else None
    if maximum is None:
        maximum = sample.definition.maximum_memory_bytes
    return {
        "state": power_state(sample.state),
        "driver": "libvirt",
        "hypervisor": sample.definition.kind,
        "hypervisor_os": _hypervisor_os(sample),
        "uptime": None if sample.started is None else int(seconds_between(sample.started, now)),
        "config_drive": any(
            disk.source is not None and disk.source.endswith(_CONFIG_DRIVE)
            for disk in sample.definition.disks
        ),
        "num_cpus": len(cpu_details),
        "num_nics": len(nic_details),
        "num_disks": len(disk_details),
        "memory_details": {
            "maximum": in_units(maximum, MIB),
            "used": in_units(sample.memory.used_bytes if sample.memory else None, MIB),
        },
        "cpu_details": cpu_details,
        "nic_details": nic_details,
        "disk_details": disk_details,
    }


def _hypervisor_os(sample: Sample) -> str | None:
    """Return "linux" where that is sure: KVM, or a process of this host."""
    return "linux" if sample.definition.kind == "kvm" or sample.pid is not None else None


def _cpus(vm: Vm) -> list[dict[str, Any]]:
    times: dict[int, int | None] = dict.fromkeys(range(vm.sample.definition.vcpus))
    if vm.sample.cpu is not None and vm.sample.cpu.vcpus:
        times = {vcpu.number: vcpu.time_ns for vcpu in vm.sample.cpu.vcpus}
    rates = vm.rates.cpu.vcpus if vm.rates and vm.rates.cpu else ()
    percent = {vcpu.number: vcpu.percent for vcpu in rates}
    return [
        {"id": number, "time": time_ns, "utilisation": rounded(percent.get(number))}
        for number, time_ns in sorted(times.items())
    ]


def _nic(nic: VmNic) -> dict[str, Any]:
    return {
        "mac_address": nic.mac,
        "rx_octets": nic.interface.rx_bytes,
        "rx_errors": nic.interface.rx_errors,
        "rx_drop": nic.interface.rx_drops,
        "rx_packets": nic.interface.rx_packets,
        "rx_rate": rounded(nic.rates.rx_bytes_per_s),
        "tx_octets": nic.interface.tx_bytes,
        "tx_errors": nic.interface.tx_errors,
        "tx_drop": nic.interface.tx_drops,
        "tx_packets": nic.interface.tx_packets,
        "tx_rate": rounded(nic.rates.tx_bytes_per_s),
    }


def _disk(disk: VmDisk) -> dict[str, Any]:
    block = disk.block
    return {
        "read_bytes": block.read_bytes,
        "read_requests": block.read_requests,
        "write_bytes": block.write_bytes,
        "write_requests": block.write_requests,
        # QEMU counts no errors; the collector counts the events that tell of them.
        "errors_count": block.io_errors if block.errors is None else block.errors,
    }
