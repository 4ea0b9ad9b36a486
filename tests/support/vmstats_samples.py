# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs as the collector knows them, by hand: `web1` runs and tells all, `db1` is shut off.

No two figures of `web1` are equal, so that a view which takes the wrong one is seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kvmlog.vmstats.accumulated import Accumulated
from kvmlog.vmstats.definition import Definition, Disk, Instance, Nic
from kvmlog.vmstats.host import (
    Host,
    HostCpu,
    HostDisk,
    HostMemory,
    HugePages,
    Ksm,
    Pressure,
)
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.rates import (
    BlockRates,
    CpuRates,
    InterfaceRates,
    MemoryRates,
    Rates,
    VcpuRates,
)
from kvmlog.vmstats.sample import (
    Absence,
    Block,
    Cpu,
    Interface,
    Memory,
    Sample,
    State,
    Vcpu,
)
from kvmlog.vmstats.snapshot import Collector, Connection, Cost, Snapshot, Vm

SECOND = 1_000_000_000
MIB = 1 << 20
GIB = 1 << 30
URI = "qemu:///system"
WEB1 = "2b6a0c3e-5d5f-4f0e-8a55-0d4c7c1f9b11"
DB1 = "9f1d7b52-6a3c-4b0d-9e21-7c5d3a8e4f22"
MAC = "52:54:00:aa:bb:01"


def at(seconds: float) -> Moment:
    """The moment so many seconds after the host booted, at 2026-11-20 19:46:02 UTC."""
    ns = round(seconds * SECOND)
    return Moment(ns, 1_795_203_962 * SECOND + ns)


# What the figures below are as old as; the sample before was taken at 990.
TAKEN = at(1000)
NOW = at(1004)


def instance(**changed: Any) -> Instance:
    """What Nova wrote of web1."""
    values: dict[str, Any] = {
        "name": "shop-web-1",
        "created": "2026-11-20 19:50:00",
        "flavor_name": "m1.medium",
        "flavor_id": "42",
        "flavor_memory_mib": 4096,
        "flavor_vcpus": 2,
        "flavor_disk_gib": 40,
        "flavor_ephemeral_gib": 7,
        "flavor_swap_mib": 512,
        "user_id": "5f0c9d2e8b1a4c7d9e3f6a2b4c8d0e1f",
        "user_name": "alice",
        "project_id": "c1a2b3d4e5f60718293a4b5c6d7e8f90",
        "project_name": "shop",
        "root_kind": "image",
        "root_id": "70a599e0-31e7-49b7-b260-868f441e862b",
    }
    return Instance(**{**values, **changed})


def disks() -> tuple[Disk, ...]:
    """Two disks and a CD-ROM drive."""
    return (
        Disk(
            target="vda",
            device="disk",
            bus="virtio",
            alias="virtio-disk0",
            source="/var/lib/libvirt/images/web1.qcow2",
            kind="file",
            format="qcow2",
            read_only=False,
        ),
        Disk(
            target="vdb",
            device="disk",
            bus="virtio",
            alias="virtio-disk1",
            source="rbd:volumes/data",
            kind="network",
            format="raw",
            read_only=False,
        ),
        Disk(
            target="sda",
            device="cdrom",
            bus="sata",
            alias="sata0-0-0",
            source=None,
            kind="file",
            format="raw",
            read_only=True,
        ),
    )


def nics() -> tuple[Nic, ...]:
    """One interface."""
    return (
        Nic(
            mac=MAC,
            kind="bridge",
            target="vnet3",
            alias="net0",
            model="virtio",
            source="br0",
        ),
    )


def definition(**changed: Any) -> Definition:
    """The definition of web1."""
    values: dict[str, Any] = {
        "title": "the shop",
        "kind": "kvm",
        "arch": "x86_64",
        "machine": "pc-q35-7.2",
        "vcpus": 2,
        "max_vcpus": 4,
        "maximum_memory_bytes": 4 * GIB,
        "memory_bytes": 3 * GIB,
        "huge_page_bytes": None,
        "balloon": True,
        "balloon_period_s": 10,
        "disks": disks(),
        "nics": nics(),
        "instance": instance(),
    }
    return Definition(**{**values, **changed})


def cpu(**changed: Any) -> Cpu:
    """CPU time of web1: 100 s, of which 70 s in the guest."""
    values: dict[str, Any] = {
        "taken": TAKEN,
        "time_ns": 100_000_000_001,
        "user_ns": 80_000_000_002,
        "system_ns": 20_000_000_003,
        "guest_ns": 70_000_000_004,
        "vcpus": (
            Vcpu(
                number=0,
                state="running",
                time_ns=60_000_000_005,
                wait_ns=1_000_000_006,
                delay_ns=500_000_007,
                halted=False,
                thread_id=4321,
                guest_ns=45_000_000_008,
                user_ns=3_000_000_009,
                system_ns=11_000_000_010,
            ),
            Vcpu(
                number=1,
                state="blocked",
                time_ns=30_000_000_011,
                wait_ns=2_000_000_012,
                delay_ns=700_000_013,
                halted=True,
                thread_id=4322,
                guest_ns=25_000_000_014,
                user_ns=2_000_000_015,
                system_ns=4_000_000_016,
            ),
        ),
    }
    return Cpu(**{**values, **changed})


def memory(**changed: Any) -> Memory:
    """Memory of web1: 3 GiB of 4, of which 1,800 MiB are used."""
    values: dict[str, Any] = {
        "taken": TAKEN,
        "actual_bytes": 3072 * MIB,
        "maximum_bytes": 4096 * MIB,
        "rss_bytes": 2500 * MIB,
        "guest_updated_realtime_ns": at(994).realtime_ns,
        "available_bytes": 3000 * MIB,
        "unused_bytes": 900 * MIB,
        "usable_bytes": 1200 * MIB,
        "disk_caches_bytes": 400 * MIB,
        "swap_in_bytes": 11 * MIB,
        "swap_out_bytes": 22 * MIB,
        "major_faults": 333,
        "minor_faults": 4444,
        "huge_page_allocations": 55,
        "huge_page_failures": 6,
    }
    return Memory(**{**values, **changed})


def block(**changed: Any) -> Block:
    """Figures of web1's disk vda."""
    values: dict[str, Any] = {
        "target": "vda",
        "read_bytes": 10_000_001,
        "read_requests": 1_002,
        "read_time_ns": 3_000_003,
        "write_bytes": 40_000_004,
        "write_requests": 5_005,
        "write_time_ns": 60_000_006,
        "flush_requests": 707,
        "flush_time_ns": 8_000_008,
        "errors": None,
        "io_errors": 9,
        "capacity_bytes": 40 * GIB,
        "allocation_bytes": 12 * GIB,
        "physical_bytes": 13 * GIB,
    }
    return Block(**{**values, **changed})


def interface(**changed: Any) -> Interface:
    """Figures of web1's interface."""
    values: dict[str, Any] = {
        "mac": MAC,
        "target": "vnet3",
        "alias": "net0",
        "rx_bytes": 2_070_139,
        "rx_packets": 26_701,
        "rx_errors": 1,
        "rx_drops": 2,
        "tx_bytes": 140_208,
        "tx_packets": 662,
        "tx_errors": 3,
        "tx_drops": 4,
    }
    return Interface(**{**values, **changed})


def blocks() -> tuple[Block, ...]:
    """Figures of all disks; libvirt tells of drives without a medium too."""
    return (
        block(),
        block(
            target="vdb",
            read_bytes=20_000_021,
            read_requests=2_022,
            read_time_ns=4_000_023,
            write_bytes=50_000_024,
            write_requests=6_025,
            write_time_ns=70_000_026,
            flush_requests=827,
            flush_time_ns=9_000_028,
            io_errors=None,
            capacity_bytes=80 * GIB,
            allocation_bytes=32 * GIB,
            physical_bytes=33 * GIB,
        ),
        block(
            target="sda",
            read_bytes=30_000_031,
            read_requests=3_032,
            read_time_ns=5_000_033,
            write_bytes=0,
            write_requests=0,
            write_time_ns=0,
            flush_requests=0,
            flush_time_ns=0,
            io_errors=None,
            capacity_bytes=None,
            allocation_bytes=None,
            physical_bytes=None,
        ),
    )


def sample(**changed: Any) -> Sample:
    """The newest sample of web1, taken at 1000."""
    values: dict[str, Any] = {
        "uuid": WEB1,
        "name": "web1",
        "uri": URI,
        "domain_id": 7,
        "pid": 4300,
        "generation": 2,
        "state": State.RUNNING,
        "state_reason": 1,
        "state_since": at(400),
        "started": at(400),
        "taken": TAKEN,
        "timed_out": False,
        "definition": definition(),
        "cpu": cpu(),
        "memory": memory(),
        "blocks": blocks(),
        "interfaces": (interface(),),
        "blocks_taken": TAKEN,
        "interfaces_taken": TAKEN,
        "absent": (),
    }
    return Sample(**{**values, **changed})


def block_rates(**changed: Any) -> BlockRates:
    """The rates of vda."""
    values: dict[str, Any] = {
        "target": "vda",
        "read_bytes_per_s": 1_001.5,
        "read_requests_per_s": 2.25,
        "read_latency_ns": 300_003.5,
        "write_bytes_per_s": 4_004.5,
        "write_requests_per_s": 5.25,
        "write_latency_ns": 600_006.5,
        "flush_requests_per_s": 0.75,
        "flush_latency_ns": 800_008.5,
    }
    return BlockRates(**{**values, **changed})


def interface_rates(**changed: Any) -> InterfaceRates:
    """The rates of web1's interface."""
    values: dict[str, Any] = {
        "key": MAC,
        "rx_bytes_per_s": 10_010.5,
        "rx_packets_per_s": 11.25,
        "rx_errors_per_s": 0.125,
        "rx_drops_per_s": 0.25,
        "tx_bytes_per_s": 12_012.5,
        "tx_packets_per_s": 13.25,
        "tx_errors_per_s": 0.375,
        "tx_drops_per_s": 0.5,
    }
    return InterfaceRates(**{**values, **changed})


def rates(**changed: Any) -> Rates:
    """Over the ten seconds before the sample."""
    values: dict[str, Any] = {
        "since": at(990),
        "until": TAKEN,
        "cpu": CpuRates(
            percent_of_one_cpu=90.0,
            percent_of_vcpus=45.0,
            percent_of_host=11.25,
            user_percent=12.5,
            system_percent=17.5,
            guest_percent=60.0,
            steal_percent=3.5,
            vcpus=(
                VcpuRates(number=0, percent=55.5, wait_percent=1.25, steal_percent=1.5),
                VcpuRates(number=1, percent=34.5, wait_percent=2.25, steal_percent=2.0),
            ),
        ),
        "memory": MemoryRates(
            swap_in_bytes_per_s=4096.0 * 3,
            swap_out_bytes_per_s=4096.0 * 5,
            major_faults_per_s=7.5,
            minor_faults_per_s=88.5,
        ),
        "blocks": (
            block_rates(),
            block_rates(
                target="vdb",
                read_bytes_per_s=2_021.5,
                read_requests_per_s=0.0,
                read_latency_ns=None,
                write_bytes_per_s=5_024.5,
                write_requests_per_s=6.5,
                write_latency_ns=700_026.5,
                flush_requests_per_s=0.0,
                flush_latency_ns=None,
            ),
        ),
        "interfaces": (interface_rates(),),
    }
    return Rates(**{**values, **changed})


def accumulated(**changed: Any) -> Accumulated:
    """Since the collector began at 100."""
    values: dict[str, Any] = {
        "since": at(100),
        "cpu_time_ns": 200_000_000_000,
        "rx_bytes": 4_096_000,
        "tx_bytes": 307_200,
        "read_bytes": 30_720_000,
        "read_requests": 3_024,
        "write_bytes": 92_160_000,
        "write_requests": 11_030,
    }
    return Accumulated(**{**values, **changed})


def vm(**changed: Any) -> Vm:
    """web1, which runs; `changed` are fields of its sample."""
    return Vm(sample=sample(**changed), rates=rates(), accumulated=accumulated())


def off_vm(**changed: Any) -> Vm:
    """db1, shut off, with an image and no figures; it was never seen running."""
    values: dict[str, Any] = {
        "uuid": DB1,
        "name": "db1",
        "domain_id": None,
        "pid": None,
        "generation": 0,
        "state": State.SHUTOFF,
        "state_reason": 0,
        "state_since": at(100),
        "started": None,
        "definition": definition(title=None, vcpus=1, max_vcpus=1, instance=None, nics=()),
        "cpu": None,
        "memory": None,
        "blocks": None,
        "interfaces": None,
        "blocks_taken": None,
        "interfaces_taken": None,
    }
    return Vm(sample=sample(**{**values, **changed}), rates=None, accumulated=Accumulated(at(100)))


def hung_vm(**changed: Any) -> Vm:
    """web1, which did not answer since 1000: all of it is as old as that."""
    reason = "the domain does not answer: its QEMU has been busy for 45.2 s"
    absent = (Absence("memory", "the guest's balloon driver is silent", 120.5),)
    return vm(**{"timed_out": True, "absent": (*absent, Absence("cpu", reason, 45.0)), **changed})


def host(**changed: Any) -> Host:
    """The host of both, with 8 CPUs and 64 GiB."""
    values: dict[str, Any] = {
        "uri": URI,
        "local": True,
        "taken": TAKEN,
        "hostname": "kvm1.example.net",
        "uuid": "4c4c4544-0044-3510-8052-b9c04f4a3132",
        "address": "192.0.2.10",
        "hypervisor_type": "QEMU",
        "hypervisor_version": 7_002_022,
        "libvirt_version": 9_000_000,
        "cpu": HostCpu(
            count=8,
            model="EPYC-Rome",
            vendor="AMD",
            arch="x86_64",
            mhz=2_800,
            features=("sse2", "svm"),
            nodes=1,
            sockets=1,
            cores=4,
            threads=2,
            user_ns=111 * SECOND,
            system_ns=222 * SECOND,
            idle_ns=3_333 * SECOND,
            iowait_ns=44 * SECOND,
            busy_percent=12.75,
        ),
        "memory": HostMemory(
            total_bytes=64 * GIB,
            free_bytes=20 * GIB,
            available_bytes=30 * GIB,
            cached_bytes=9 * GIB,
            swap_total_bytes=8 * GIB,
            swap_free_bytes=7 * GIB,
            anonymous_huge_bytes=5 * GIB,
            transparent_huge_pages="madvise",
        ),
        "disk": HostDisk(
            path="/var/lib/libvirt/images", total_bytes=500 * GIB, available_bytes=350 * GIB
        ),
        "ksm": Ksm(
            run=1,
            pages_shared=1_024,
            pages_sharing=25_600,
            pages_unshared=3_072,
            full_scans=17,
            merge_across_nodes=False,
            page_bytes=4096,
            ksmd_cpu_ns=19 * SECOND,
            ksmd_cpu_percent=1.75,
            pages_to_scan=100,
        ),
        "huge_pages": (
            HugePages(node=0, page_bytes=2 * MIB, total=512, free=128, surplus=16),
            HugePages(node=0, page_bytes=GIB, total=4, free=1, surplus=0),
        ),
        "pressure": (
            Pressure("cpu", "some", 1.5, 2.5, 3.5, 45_678),
            Pressure("memory", "full", 0.25, 0.5, 0.75, 910),
        ),
        "load": (1.25, 2.5, 3.75),
        "uptime_s": 1_000.5,
        "balloon_current_bytes": 3 * GIB,
        "balloon_maximum_bytes": 4 * GIB,
    }
    return Host(**{**values, **changed})


def connection(**changed: Any) -> Connection:
    """The connection of both, which answers."""
    values: dict[str, Any] = {
        "uri": URI,
        "connected": True,
        "since": at(100),
        "error": None,
        "polls": 90,
        "last_poll_ns": 7_000_000,
        "hung": (),
        "stuck_threads": 0,
    }
    return Connection(**{**values, **changed})


def collector(**changed: Any) -> Collector:
    """A collector that keeps up."""
    values: dict[str, Any] = {
        "pid": 1234,
        "version": "0.1.0",
        "started": at(100),
        "written": TAKEN,
        "interval_s": 10.0,
        "effective_interval_s": 10.0,
        "stretched": None,
        "balloon_period_s": None,
        "cost": Cost(
            own_cpu_ns=5 * SECOND,
            libvirtd_cpu_ns=6 * SECOND,
            own_percent=0.5,
            libvirtd_percent=0.75,
            budget_percent=5.0,
        ),
        "connections": (connection(),),
    }
    return Collector(**{**values, **changed})


def snapshot(*vms: Vm, hosts: tuple[Host, ...] | None = None, **changed: Any) -> Snapshot:
    """What the file holds; without arguments web1 and db1 on their host.

    Those that timed out hang: their connection answers.
    """
    hung = tuple(one.sample.uuid for one in vms if one.sample.timed_out)
    return replace(
        Snapshot(
            boot_id="7d3c0f6e-58e2-4ab7-9a43-a7f1f1d5a001",
            collector=collector(connections=(connection(hung=hung),)),
            hosts=(host(),) if hosts is None else hosts,
            vms=vms or (vm(), off_vm()),
        ),
        **changed,
    )
