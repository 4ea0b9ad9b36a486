# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's server diagnostics before microversion 2.48: flat, a key for each device and figure.

Unlike Nova, which says -1 there, unknown figures (an image's errors) are left out.
"""

from __future__ import annotations

from typing import Any

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Memory, Sample
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.devices import disks, nics
from kvmlog.vmstats.views.nova_state import refuse_unless_running
from kvmlog.vmstats.views.units import KIB, in_units, known


def document(vm: Vm, now: Moment) -> dict[str, Any]:
    """Return the diagnostics; NotRunningError for a domain that does not run."""
    refuse_unless_running(vm.sample)
    figures: dict[str, Any] = {"memory": in_units(_maximum_bytes(vm.sample), KIB)}
    for vcpu in vm.sample.cpu.vcpus if vm.sample.cpu else ():
        figures[f"cpu{vcpu.number}_time"] = vcpu.time_ns
    for disk in disks(vm):
        name, block = disk.target, disk.block
        figures[f"{name}_read"] = block.read_bytes
        figures[f"{name}_read_req"] = block.read_requests
        figures[f"{name}_write"] = block.write_bytes
        figures[f"{name}_write_req"] = block.write_requests
        figures[f"{name}_errors"] = block.io_errors if block.errors is None else block.errors
    for nic in nics(vm):
        if nic.target is None:
            continue
        name, interface = nic.target, nic.interface
        figures[f"{name}_rx"] = interface.rx_bytes
        figures[f"{name}_rx_packets"] = interface.rx_packets
        figures[f"{name}_rx_errors"] = interface.rx_errors
        figures[f"{name}_rx_drop"] = interface.rx_drops
        figures[f"{name}_tx"] = interface.tx_bytes
        figures[f"{name}_tx_packets"] = interface.tx_packets
        figures[f"{name}_tx_errors"] = interface.tx_errors
        figures[f"{name}_tx_drop"] = interface.tx_drops
    if vm.sample.memory is not None:
        figures |= {f"memory-{key}": value for key, value in _memory(vm.sample.memory).items()}
    return known(figures)


def _maximum_bytes(sample: Sample) -> int:
    if sample.memory is not None and sample.memory.maximum_bytes is not None:
        return sample.memory.maximum_bytes
    return sample.definition.maximum_memory_bytes


def _memory(memory: Memory) -> dict[str, int | None]:
    """Return the figures under libvirt's names, in its units: KiB, seconds, counts."""
    return {
        "actual": in_units(memory.actual_bytes, KIB),
        "rss": in_units(memory.rss_bytes, KIB),
        "available": in_units(memory.available_bytes, KIB),
        "unused": in_units(memory.unused_bytes, KIB),
        "usable": in_units(memory.usable_bytes, KIB),
        "disk_caches": in_units(memory.disk_caches_bytes, KIB),
        "swap_in": in_units(memory.swap_in_bytes, KIB),
        "swap_out": in_units(memory.swap_out_bytes, KIB),
        "major_fault": memory.major_faults,
        "minor_fault": memory.minor_faults,
        "hugetlb_pgalloc": memory.huge_page_allocations,
        "hugetlb_pgfail": memory.huge_page_failures,
        "last_update": in_units(memory.guest_updated_realtime_ns, 1_000_000_000),
    }
