# SPDX-License-Identifier: GPL-2.0-or-later
"""What the collector knows of a VM as evidence: state, disks, network, memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.vmstats.definition import Limits
from kvmlog.vmstats.history import History
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.rates import BlockRates, InterfaceRates, Rates
from kvmlog.vmstats.sample import Sample, State
from kvmlog.vmstats.snapshot import Vm
from kvmlog.why.evidence import CpuTime, Disk, Memory, Nic, Operations, Run, VcpuTime

# virDomainPausedReason; 1 is its user, 0 nobody knows.
_PAUSED: Final[Mapping[int, str]] = {
    2: "a migration",
    3: "it is being saved",
    4: "its memory is being dumped",
    5: "an I/O error",
    6: "its watchdog",
    7: "a snapshot",
    8: "it is being shut down",
    9: "a snapshot",
    10: "the guest's crash",
    11: "it is being started",
    12: "a migration",
    13: "a migration that failed",
}
_LONGEST_S: Final = 1e9
_NO_LIMITS: Final = Limits()


def rates_between(before: Vm, after: Vm) -> Rates | None:
    """Return rates of the time between two polls; of one poll, those of the interval before it."""
    if after.sample.taken <= before.sample.taken:
        return after.rates
    history = History(_LONGEST_S)
    history.add(before.sample)
    return history.add(after.sample).rates or after.rates


def run_of(vm: Vm, now: Moment, *, hung: bool) -> Run:
    """Return the state."""
    sample = vm.sample
    since = sample.state_since
    return Run(
        state=sample.state.name.lower(),
        reason=_PAUSED.get(sample.state_reason) if sample.state == State.PAUSED else None,
        since_s=None if since is None else max(0, now.monotonic_ns - since.monotonic_ns) / 1e9,
        hung=hung,
    )


def disks_of(before: Sample, after: Sample, rates: Rates | None) -> tuple[Disk, ...] | None:
    """Return the disks; None where their figures are not known."""
    if after.blocks is None or rates is None or rates.blocks is None:
        return None
    errors = {one.target: one.io_errors or 0 for one in before.blocks or ()}
    defined = {one.target: one for one in after.definition.disks}
    figures = {one.target: one for one in rates.blocks}
    found = []
    for block in after.blocks:
        known, rate = defined.get(block.target), figures.get(block.target)
        if rate is None or (known is not None and not known.counts):
            continue
        limits = (known.limits if known is not None else None) or _NO_LIMITS
        found.append(
            Disk(
                target=block.target,
                source=None if known is None else known.source,
                operations=_operations(rate, limits),
                errors=max(0, (block.io_errors or 0) - errors.get(block.target, 0)),
                total_limit_requests_per_s=limits.total_requests_per_s,
                total_limit_bytes_per_s=limits.total_bytes_per_s,
            )
        )
    return tuple(found)


def _operations(rate: BlockRates, limits: Limits) -> tuple[Operations, ...]:
    found = []
    if rate.read_requests_per_s is not None:
        found.append(
            Operations(
                "read",
                rate.read_requests_per_s,
                rate.read_bytes_per_s,
                rate.read_latency_ns,
                limits.read_requests_per_s,
                limits.read_bytes_per_s,
            )
        )
    if rate.write_requests_per_s is not None:
        found.append(
            Operations(
                "write",
                rate.write_requests_per_s,
                rate.write_bytes_per_s,
                rate.write_latency_ns,
                limits.write_requests_per_s,
                limits.write_bytes_per_s,
            )
        )
    if rate.flush_requests_per_s is not None:
        found.append(Operations("flush", rate.flush_requests_per_s, None, rate.flush_latency_ns))
    return tuple(found)


def nics_of(after: Sample, rates: Rates | None) -> tuple[Nic, ...] | None:
    """Return both directions of each interface; None where their figures are not known."""
    if rates is None or rates.interfaces is None:
        return None
    names = {one.key: one.target or one.key for one in after.interfaces or ()}
    return tuple(
        one for rate in rates.interfaces for one in _ways(rate, names.get(rate.key, rate.key))
    )


def _ways(rate: InterfaceRates, name: str) -> tuple[Nic, ...]:
    given = (
        ("receive", rate.rx_packets_per_s, rate.rx_drops_per_s, rate.rx_errors_per_s),
        ("transmit", rate.tx_packets_per_s, rate.tx_drops_per_s, rate.tx_errors_per_s),
    )
    return tuple(
        Nic(name, way, packets, drops or 0.0, errors or 0.0)
        for way, packets, drops, errors in given
        if packets is not None
    )


def memory_of(after: Sample, rates: Rates | None) -> Memory | None:
    """Return the memory; None where libvirt does not tell."""
    memory = after.memory
    if memory is None:
        return None
    paging = None if rates is None else rates.memory
    return Memory(
        current_bytes=memory.actual_bytes,
        maximum_bytes=memory.maximum_bytes,
        available_bytes=memory.available_bytes,
        usable_bytes=memory.usable_bytes,
        swap_in_bytes_per_s=None if paging is None else paging.swap_in_bytes_per_s,
        swap_out_bytes_per_s=None if paging is None else paging.swap_out_bytes_per_s,
        rss_bytes=memory.rss_bytes,
    )


def cpu_of(rates: Rates | None) -> CpuTime | None:
    """Return CPU time by the collector, for a VM whose threads are not on this host."""
    if rates is None or rates.cpu is None or not rates.cpu.vcpus:
        return None
    over_ns = rates.interval_ns
    return CpuTime(
        over_ns,
        tuple(
            VcpuTime(
                one.number,
                round(one.percent * over_ns / 100),
                None if one.steal_percent is None else round(one.steal_percent * over_ns / 100),
            )
            for one in rates.cpu.vcpus
            if one.percent is not None
        ),
    )
