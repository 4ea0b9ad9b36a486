# SPDX-License-Identifier: GPL-2.0-or-later
"""Evidence of VMs by hand: `healthy` is busy with its own work; scenes change some of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from kvmlog.why.evidence import (
    Activity,
    CpuTime,
    Disk,
    Evidence,
    Exits,
    Group,
    Host,
    Memory,
    Nic,
    Operations,
    Return,
    Rival,
    Run,
    Stuck,
    VcpuTime,
)

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
MIB: Final = 1 << 20
GIB: Final = 1 << 30
OVER: Final = 10 * SECOND
VCPUS: Final = 2


def group(activity: Activity, count: int = 1_000, **fields: Any) -> Group:
    """Exits of one kind; times: kvm_ns and so on, none by default."""
    parts = {
        name: fields.pop(name, 0)
        for name in ("kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
    }
    named = {"isa": "svm", "reason": 0x7B, "name": "io", "detail": "", **fields}
    return Group(activity=activity, count=count, total_ns=sum(parts.values()), **named, **parts)


def exits(*groups: Group, **fields: Any) -> Exits:
    """Exits of the watch."""
    values = {"over_ns": OVER, "vcpus": VCPUS, "returns": (), **fields}
    return Exits(groups=groups, **values)


def healthy(**changed: Any) -> Evidence:
    """A VM that computes: 2 vCPUs, hardly an exit, and enough of everything."""
    values: dict[str, Any] = {
        "name": "web1",
        "uuid": "2b6a0c3e-5d5f-4f0e-8a55-0d4c7c1f9b11",
        "pid": 4242,
        "over_ns": OVER,
        "vcpus": VCPUS,
        "run": Run("running", None, 3600.0),
        "exits": exits(group(Activity.INTERRUPT, 5_000, name="interrupt", kvm_ns=200 * MS)),
        "cpu": cpu(),
        "disks": (disk(),),
        "nics": (nic("receive"), nic("transmit")),
        "memory": memory(),
        "host": host(),
    }
    return Evidence(**{**values, **changed})


def cpu(*waits_ns: int, **fields: Any) -> CpuTime:
    """CPU time of vCPUs that run whenever they get a CPU."""
    waits = waits_ns or (0,) * VCPUS
    return CpuTime(
        over_ns=OVER,
        vcpus=tuple(VcpuTime(n, OVER - wait_ns, wait_ns) for n, wait_ns in enumerate(waits)),
        **{"throttled_ns": 0, "host_cpus": 4, **fields},
    )


def disk(**fields: Any) -> Disk:
    """A disk with 100 reads a second, of 1 ms each; fields: also those of these reads."""
    reads: dict[str, Any] = {
        "requests_per_s": 100.0,
        "bytes_per_s": 1e6,
        "latency_ns": 1.0 * MS,
        "limit_requests_per_s": None,
        "limit_bytes_per_s": None,
    }
    reads = {name: fields.pop(name, value) for name, value in reads.items()}
    values = {"target": "vda", "source": "/images/web1.qcow2", "errors": 0, **fields}
    return Disk(operations=(Operations(kind="read", **reads),), **values)


def nic(way: str, **fields: Any) -> Nic:
    """An interface that loses nothing."""
    values = {"packets_per_s": 1_000.0, "drops_per_s": 0.0, "errors_per_s": 0.0, **fields}
    return Nic(name="vnet3", way=way, **values)


def memory(**fields: Any) -> Memory:
    """A guest with 4 GiB, half of them free."""
    values: dict[str, Any] = {
        "current_bytes": 4 * GIB,
        "maximum_bytes": 4 * GIB,
        "available_bytes": 4 * GIB,
        "usable_bytes": 2 * GIB,
        "swap_in_bytes_per_s": 0.0,
        "swap_out_bytes_per_s": 0.0,
        "host_major_faults_per_s": 0.0,
        "host_swapped_bytes": 0,
        "rss_bytes": 3 * GIB,
    }
    return Memory(**{**values, **fields})


def host(**fields: Any) -> Host:
    """A host with room."""
    values: dict[str, Any] = {
        "over_ns": OVER,
        "cpus": 4,
        "load1": 2.2,
        "memory_total_bytes": 64 * GIB,
        "memory_available_bytes": 20 * GIB,
        "swap_used_bytes": 0,
        "pressure": {"memory some": 0.1, "cpu some": 4.0, "io some": 2.0},
        "ksmd_percent": 3.0,
        "ksm_sharing_bytes": GIB,
    }
    return Host(**{**values, **fields})


def busy_with(activity: Activity, share: float, *, count: int = 100_000, **fields: Any) -> Evidence:
    """The healthy VM with so large a share of its time in quick exits of one kind."""
    spent_ns = round(share * VCPUS * OVER)
    return healthy(exits=exits(group(activity, count, kvm_ns=spent_ns, **fields)))


def slow_device(share: float) -> Evidence:
    """The healthy VM with so large a share of its time in QEMU, 5 ms at a time."""
    spent_ns = round(share * VCPUS * OVER)
    console = group(
        Activity.PORT, spent_ns // (5 * MS), detail="port 0x3f8 (com1)", vmm_ns=spent_ns
    )
    sleeping = cpu()
    sleeping = replace(
        sleeping,
        vcpus=tuple(replace(one, on_cpu_ns=OVER - spent_ns // VCPUS) for one in sleeping.vcpus),
    )
    return healthy(exits=exits(console), cpu=sleeping)


def held(share: float) -> Evidence:
    """The healthy VM whose vCPUs were held for a share of the time."""
    return healthy(exits=exits(group(Activity.OTHER, 10, paused_ns=round(share * VCPUS * OVER))))


def returned(name: str, count: int) -> Evidence:
    """The healthy VM with returns of KVM_RUN of one kind."""
    return healthy(exits=replace(exits(), returns=(Return(name, count),)))


def stuck(since_s: float) -> Evidence:
    """The healthy VM with a vCPU in one exit."""
    one = Stuck(1, "io", "port 0x1f0 (ide1)", round(since_s * SECOND), in_vmm=True)
    return healthy(exits=exits(stuck=(one,)))


def starved(share: float, **fields: Any) -> Evidence:
    """The healthy VM whose vCPUs wait for a CPU."""
    wait_ns = round(share * OVER)
    return healthy(
        exits=exits(group(Activity.INTERRUPT, 500, name="interrupt", wait_ns=VCPUS * wait_ns)),
        cpu=cpu(wait_ns, wait_ns, **fields),
    )


def hog() -> Rival:
    """A program that uses half of a CPU."""
    return Rival(99, "stress-ng", 1, OVER // 2)
