# SPDX-License-Identifier: GPL-2.0-or-later
"""One sample of one host of domains; None: only the host itself could tell, and it is another."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlog.vmstats.moment import Moment


@dataclass(frozen=True)
class Ksm:
    """Kernel samepage merging, /sys/kernel/mm/ksm."""

    run: int  # 0 off, 1 on, 2 off and unmerged
    pages_shared: int
    pages_sharing: int
    pages_unshared: int
    full_scans: int
    merge_across_nodes: bool | None
    page_bytes: int
    ksmd_cpu_ns: int | None  # of the kernel thread
    ksmd_cpu_percent: float | None  # of one CPU, over the last interval
    pages_to_scan: int | None = None  # before ksmd sleeps


@dataclass(frozen=True)
class HugePages:
    """Huge pages of one size, of one NUMA node."""

    node: int
    page_bytes: int
    total: int
    free: int
    surplus: int


@dataclass(frozen=True)
class Pressure:
    """One line of /proc/pressure/*."""

    resource: str  # cpu, memory, io
    kind: str  # some, full
    avg10_percent: float
    avg60_percent: float
    avg300_percent: float
    total_us: int


@dataclass(frozen=True)
class HostCpu:
    """The host's CPUs."""

    count: int  # online
    model: str | None
    vendor: str | None
    arch: str | None
    mhz: int | None
    features: tuple[str, ...]
    nodes: int | None
    sockets: int | None  # per node, as libvirt counts
    cores: int | None
    threads: int | None
    # Since boot, all CPUs together.
    user_ns: int | None
    system_ns: int | None
    idle_ns: int | None
    iowait_ns: int | None
    busy_percent: float | None  # of all CPUs, over the last interval


@dataclass(frozen=True)
class HostMemory:
    """The host's memory."""

    total_bytes: int
    free_bytes: int | None
    available_bytes: int | None  # without swapping
    cached_bytes: int | None
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    anonymous_huge_bytes: int | None  # transparent huge pages in use
    transparent_huge_pages: str | None  # always, madvise, never


@dataclass(frozen=True)
class HostDisk:
    """The file system where images are kept (configured: vmstats.images)."""

    path: str
    total_bytes: int
    available_bytes: int  # to unprivileged users


@dataclass(frozen=True)
class Host:
    """One host, behind one libvirt connection."""

    uri: str
    local: bool  # the collector runs on it
    taken: Moment
    hostname: str
    uuid: str | None  # of the host, as libvirt tells it
    address: str | None  # that its name resolves to; None: it does not
    hypervisor_type: str  # QEMU
    hypervisor_version: int | None  # 7002022: major * 1,000,000 + minor * 1,000 + release
    libvirt_version: int | None
    cpu: HostCpu
    memory: HostMemory
    disk: HostDisk | None
    ksm: Ksm | None
    huge_pages: tuple[HugePages, ...] | None
    pressure: tuple[Pressure, ...] | None
    load: tuple[float, float, float] | None  # 1, 5, 15 minutes
    uptime_s: float | None
    # Sums over the running domains: how far their balloons are from their maximum.
    balloon_current_bytes: int
    balloon_maximum_bytes: int

    @property
    def balloon_ratio(self) -> float | None:
        """Return current over maximum of all running domains; None without any."""
        if not self.balloon_maximum_bytes:
            return None
        return self.balloon_current_bytes / self.balloon_maximum_bytes
