# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures over an interval: what two samples of one generation say of the time between them.

None: not known, or there was nothing to divide by (a latency without a request).
"""

from __future__ import annotations

from dataclasses import dataclass

from kvmlog.vmstats.moment import Moment


@dataclass(frozen=True)
class VcpuRates:
    """One virtual CPU; percent of the interval."""

    number: int
    percent: float | None
    wait_percent: float | None
    steal_percent: float | None  # ready, but without a CPU


@dataclass(frozen=True)
class CpuRates:
    """CPU time of a domain's process, on three bases."""

    percent_of_one_cpu: float | None  # 200: two CPUs busy
    percent_of_vcpus: float | None  # of the CPUs that the domain has
    percent_of_host: float | None  # of all CPUs of the host (virt-top's %CPU)
    # Of one CPU. Guest only where the domain runs on this host; user is without it then.
    user_percent: float | None
    system_percent: float | None
    guest_percent: float | None
    steal_percent: float | None  # sum over the vCPUs, of one CPU
    vcpus: tuple[VcpuRates, ...]


@dataclass(frozen=True)
class BlockRates:
    """One disk."""

    target: str
    read_bytes_per_s: float | None
    read_requests_per_s: float | None
    read_latency_ns: float | None  # per request
    write_bytes_per_s: float | None
    write_requests_per_s: float | None
    write_latency_ns: float | None
    flush_requests_per_s: float | None
    flush_latency_ns: float | None


@dataclass(frozen=True)
class InterfaceRates:
    """One network interface, as the guest sees it."""

    key: str  # Interface.key
    rx_bytes_per_s: float | None
    rx_packets_per_s: float | None
    rx_errors_per_s: float | None
    rx_drops_per_s: float | None
    tx_bytes_per_s: float | None
    tx_packets_per_s: float | None
    tx_errors_per_s: float | None
    tx_drops_per_s: float | None


@dataclass(frozen=True)
class MemoryRates:
    """Paging within the guest."""

    swap_in_bytes_per_s: float | None
    swap_out_bytes_per_s: float | None
    major_faults_per_s: float | None
    minor_faults_per_s: float | None


@dataclass(frozen=True)
class Rates:
    """All of one domain."""

    # Of the group whose interval began first, and of the newest: the same for all, unless libvirt
    # left one out.
    since: Moment
    until: Moment
    cpu: CpuRates | None
    memory: MemoryRates | None
    blocks: tuple[BlockRates, ...] | None
    interfaces: tuple[InterfaceRates, ...] | None

    @property
    def interval_ns(self) -> int:
        """Return how long the interval was."""
        return self.until.monotonic_ns - self.since.monotonic_ns
