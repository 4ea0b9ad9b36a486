# SPDX-License-Identifier: GPL-2.0-or-later
"""Ceilometer's samples: each meter's name, type, unit, volume and resource.

openstack/ceilometer b4ccf244, ceilometer/compute/pollsters/{instance_stats,disk,net}.py and
ceilometer/compute/virt/libvirt/inspector.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views import ceilometer
from tests.support import vmstats_samples as examples
from tests.support.vmstats_samples import GIB, NOW, WEB1, at

VDA, VDB, NIC = f"{WEB1}-vda", f"{WEB1}-vdb", f"web1-{WEB1}-vnet3"


def rows(found: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Name, type, unit, volume and resource of each."""
    keys = ("name", "type", "unit", "volume", "resource_id")
    return {tuple(one[key] for key in keys) for one in found}


def volumes(vm: Vm) -> dict[str, float]:
    """Volumes by meter, of one VM with one device of each kind."""
    found, _ = ceilometer.samples([vm], {}, NOW)
    return {one["name"]: one["volume"] for one in found if one["resource_id"] != VDB}


def test_all_meters() -> None:
    """Of web1: two disks, an interface; db1 is shut off and has no samples."""
    found, _ = ceilometer.samples([examples.vm(), examples.off_vm()], {}, NOW)
    assert len(found) == len(rows(found))
    assert rows(found) == {
        # vcpu.N.time + vcpu.N.wait
        ("cpu", "cumulative", "ns", 60_000_000_005 + 1_000_000_006 + 32_000_000_023, WEB1),
        ("vcpus", "gauge", "vcpu", 2, WEB1),
        ("power.state", "gauge", "", 1, WEB1),
        ("memory", "gauge", "MiB", 3072, WEB1),
        ("memory.available", "gauge", "MiB", 3000, WEB1),
        ("memory.usage", "gauge", "MiB", 1800, WEB1),
        ("memory.resident", "gauge", "MiB", 2500, WEB1),
        ("memory.swap.in", "cumulative", "MiB", 11, WEB1),
        ("memory.swap.out", "cumulative", "MiB", 22, WEB1),
        ("disk.root.size", "gauge", "GiB", 40, WEB1),
        ("disk.ephemeral.size", "gauge", "GiB", 7, WEB1),
        ("disk.device.read.bytes", "cumulative", "B", 10_000_001, VDA),
        ("disk.device.read.requests", "cumulative", "request", 1_002, VDA),
        ("disk.device.read.latency", "cumulative", "ns", 3_000_003, VDA),
        ("disk.device.write.bytes", "cumulative", "B", 40_000_004, VDA),
        ("disk.device.write.requests", "cumulative", "request", 5_005, VDA),
        ("disk.device.write.latency", "cumulative", "ns", 60_000_006, VDA),
        ("disk.device.capacity", "gauge", "B", 40 * GIB, VDA),
        ("disk.device.allocation", "gauge", "B", 12 * GIB, VDA),
        ("disk.device.usage", "gauge", "B", 13 * GIB, VDA),
        ("disk.device.read.bytes", "cumulative", "B", 20_000_021, VDB),
        ("disk.device.read.requests", "cumulative", "request", 2_022, VDB),
        ("disk.device.read.latency", "cumulative", "ns", 4_000_023, VDB),
        ("disk.device.write.bytes", "cumulative", "B", 50_000_024, VDB),
        ("disk.device.write.requests", "cumulative", "request", 6_025, VDB),
        ("disk.device.write.latency", "cumulative", "ns", 70_000_026, VDB),
        ("disk.device.capacity", "gauge", "B", 80 * GIB, VDB),
        ("disk.device.allocation", "gauge", "B", 32 * GIB, VDB),
        ("disk.device.usage", "gauge", "B", 33 * GIB, VDB),
        ("network.incoming.bytes", "cumulative", "B", 2_070_139, NIC),
        ("network.incoming.packets", "cumulative", "packet", 26_701, NIC),
        ("network.incoming.packets.error", "cumulative", "packet", 1, NIC),
        ("network.incoming.packets.drop", "cumulative", "packet", 2, NIC),
        ("network.outgoing.bytes", "cumulative", "B", 140_208, NIC),
        ("network.outgoing.packets", "cumulative", "packet", 662, NIC),
        ("network.outgoing.packets.error", "cumulative", "packet", 3, NIC),
        ("network.outgoing.packets.drop", "cumulative", "packet", 4, NIC),
        ("network.incoming.bytes.delta", "delta", "B", 0, NIC),
        ("network.outgoing.bytes.delta", "delta", "B", 0, NIC),
    }


def test_owner_time_and_device() -> None:
    """From Nova's metadata and the group's own time; null and absent without them."""
    found, _ = ceilometer.samples([examples.vm(blocks_taken=at(998))], {}, NOW)
    disk = next(one for one in found if one["resource_id"] == VDA)
    assert disk["timestamp"] == "2026-11-20T20:02:40.000000+00:00"
    assert disk["user_id"] == "5f0c9d2e8b1a4c7d9e3f6a2b4c8d0e1f"
    assert disk["project_id"] == "c1a2b3d4e5f60718293a4b5c6d7e8f90"
    assert disk["resource_metadata"] == {
        "instance_id": WEB1,
        "name": "web1",
        "display_name": "shop-web-1",
        "instance_type": "m1.medium",
        "disk_name": "vda",
    }
    nic = next(one for one in found if one["resource_id"] == NIC)
    assert nic["resource_metadata"]["mac"] == examples.MAC
    plain, _ = ceilometer.samples(
        [examples.vm(definition=examples.definition(instance=None))], {}, NOW
    )
    assert {one["project_id"] for one in plain} == {None}
    assert "disk.root.size" not in {one["name"] for one in plain}


def test_cpu_falls_back_where_a_vcpu_tells_less() -> None:
    """To the domain's time: without wait, and while a virtual CPU is missing of the list."""
    cpu = examples.cpu()
    unmeasured = replace(cpu, vcpus=(cpu.vcpus[0], replace(cpu.vcpus[1], wait_ns=None)))
    for less in (unmeasured, replace(cpu, vcpus=cpu.vcpus[:1])):
        assert volumes(examples.vm(cpu=less))["cpu"] == 100_000_000_001
    nothing = replace(unmeasured, time_ns=None)
    assert "cpu" not in volumes(examples.vm(cpu=nothing))


def test_memory_usage() -> None:
    """By `usable`, by `unused` only without it, and none without `available`."""
    assert volumes(examples.vm(memory=examples.memory(usable_bytes=None)))["memory.usage"] == 2100
    unknown = volumes(examples.vm(memory=examples.memory(available_bytes=None)))
    assert {"memory.usage", "memory.available"} & set(unknown) == set()
    # What is 0 is known.
    assert volumes(examples.vm(memory=examples.memory(swap_in_bytes=0)))["memory.swap.in"] == 0


def test_power_state_is_libvirts_number() -> None:
    """Of a paused VM 3; one that is being shut down still has samples, one that is has none."""
    assert volumes(examples.vm(state=State.PAUSED))["power.state"] == 3
    assert volumes(examples.vm(state=State.SHUTDOWN))["power.state"] == 4
    assert volumes(examples.vm(state=State.SHUTOFF)) == {}


def deltas(found: list[dict[str, Any]]) -> list[int]:
    """Received and sent."""
    return [one["volume"] for one in found if one["type"] == "delta"]


def test_deltas() -> None:
    """0 first; then the growth; once the counter began anew its value, larger or not."""
    found, cursor = ceilometer.samples([examples.vm()], {}, NOW)
    assert deltas(found) == [0, 0]
    nic = examples.interface(rx_bytes=2_070_139 + 5, tx_bytes=140_208 + 6)
    found, cursor = ceilometer.samples([examples.vm(interfaces=(nic,))], cursor, NOW)
    assert deltas(found) == [5, 6]
    # Restarted, and grown beyond the old counter since; the other way still small.
    nic = examples.interface(rx_bytes=3_000_000, tx_bytes=7, target="vnet9")
    found, cursor = ceilometer.samples([examples.vm(interfaces=(nic,), domain_id=9)], cursor, NOW)
    assert deltas(found) == [3_000_000, 7]
    # Another collector has begun with a generation of its own: the counters went on.
    nic = replace(nic, rx_bytes=3_000_001)
    found, _ = ceilometer.samples(
        [examples.vm(interfaces=(nic,), domain_id=9, generation=3)], cursor, NOW
    )
    assert deltas(found) == [1, 0]


def test_deltas_of_a_vm_that_two_hosts_know() -> None:
    """While it migrates each end has its own counters."""
    end = examples.vm(uri="qemu+tls://b/system", state=State.PAUSED, domain_id=1)
    _, cursor = ceilometer.samples([examples.vm(), end], {}, NOW)
    found, _ = ceilometer.samples([examples.vm(), end], cursor, NOW)
    assert deltas(found) == [0, 0, 0, 0]


def test_deltas_across_a_poll_without_figures() -> None:
    """What came meanwhile is told once; an interface that is gone is forgotten."""
    _, cursor = ceilometer.samples([examples.vm()], {}, NOW)
    found, cursor = ceilometer.samples([examples.vm(interfaces=None)], cursor, NOW)
    assert deltas(found) == []
    nic = examples.interface(rx_bytes=2_070_139 + 5)
    found, cursor = ceilometer.samples([examples.vm(interfaces=(nic,))], cursor, NOW)
    assert deltas(found) == [5, 0]
    _, cursor = ceilometer.samples([examples.off_vm()], cursor, NOW)
    assert cursor == {}
