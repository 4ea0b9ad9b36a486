# SPDX-License-Identifier: GPL-2.0-or-later
"""Rates from two figures of one generation, `interval_ns` apart.

A counter that is smaller than before has begun anew: then all of its device is unknown for this
interval, since nobody can tell how far the others got. So no rate is negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats.rates import BlockRates, CpuRates, InterfaceRates, MemoryRates, VcpuRates
from kvmlog.vmstats.sample import Block, Cpu, Interface, Memory, Vcpu

_BLOCK: Final = (
    "read_bytes",
    "read_requests",
    "read_time_ns",
    "write_bytes",
    "write_requests",
    "write_time_ns",
    "flush_requests",
    "flush_time_ns",
)
_INTERFACE: Final = tuple(
    f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "drops")
)
_MEMORY: Final = ("swap_in_bytes", "swap_out_bytes", "major_faults", "minor_faults")

_Growth = dict[str, int | None]


def cpu(before: Cpu, after: Cpu, interval_ns: int, *, vcpus: int, host_cpus: int) -> CpuRates:
    """Return the use of CPUs.

    vcpus: that the domain has; host_cpus: that its host has, 0: not known. virt-top's %CPU is the
    CPU time over that of all CPUs of the host.
    """
    pairs = _pairs(before.vcpus, after.vcpus)
    total = _grown(before.time_ns, after.time_ns)
    system = _grown(before.system_ns, after.system_ns)
    user = _grown(before.user_ns, after.user_ns)
    guest = _sum(_grown(old.guest_ns, new.guest_ns) for old, new in pairs)
    if guest is not None:
        # cpu.user has guest time in it or not, depending on the host's kernel; the total has it on
        # all. Guest time is counted in ticks, and read a moment later than the total.
        user = None
        if total is not None and system is not None:
            guest = min(guest, max(0, total - system))
            user = max(0, total - system - guest)
    return CpuRates(
        percent_of_one_cpu=_percent(total, interval_ns),
        percent_of_vcpus=_percent(total, interval_ns * vcpus),
        percent_of_host=_percent(total, interval_ns * host_cpus),
        user_percent=_percent(user, interval_ns),
        system_percent=_percent(system, interval_ns),
        guest_percent=_percent(guest, interval_ns),
        steal_percent=_percent(
            _sum(_grown(old.delay_ns, new.delay_ns) for old, new in pairs), interval_ns
        ),
        vcpus=tuple(
            VcpuRates(
                number=new.number,
                percent=_percent(_grown(old.time_ns, new.time_ns), interval_ns),
                wait_percent=_percent(_grown(old.wait_ns, new.wait_ns), interval_ns),
                steal_percent=_percent(_grown(old.delay_ns, new.delay_ns), interval_ns),
            )
            for old, new in pairs
        ),
    )


def memory(before: Memory, after: Memory, interval_ns: int) -> MemoryRates:
    """Return the paging within the guest."""
    growth = _growth(before, after, _MEMORY)
    return MemoryRates(
        swap_in_bytes_per_s=_per_s(growth["swap_in_bytes"], interval_ns),
        swap_out_bytes_per_s=_per_s(growth["swap_out_bytes"], interval_ns),
        major_faults_per_s=_per_s(growth["major_faults"], interval_ns),
        minor_faults_per_s=_per_s(growth["minor_faults"], interval_ns),
    )


def blocks(
    before: Sequence[Block], after: Sequence[Block], interval_ns: int
) -> tuple[BlockRates, ...]:
    """Return the traffic of the disks that both have."""
    old = {block.target: block for block in before}
    return tuple(
        _block(old[block.target], block, interval_ns) for block in after if block.target in old
    )


def _block(before: Block, after: Block, interval_ns: int) -> BlockRates:
    growth = _growth(before, after, _BLOCK)
    return BlockRates(
        target=after.target,
        read_bytes_per_s=_per_s(growth["read_bytes"], interval_ns),
        read_requests_per_s=_per_s(growth["read_requests"], interval_ns),
        read_latency_ns=_each(growth["read_time_ns"], growth["read_requests"]),
        write_bytes_per_s=_per_s(growth["write_bytes"], interval_ns),
        write_requests_per_s=_per_s(growth["write_requests"], interval_ns),
        write_latency_ns=_each(growth["write_time_ns"], growth["write_requests"]),
        flush_requests_per_s=_per_s(growth["flush_requests"], interval_ns),
        flush_latency_ns=_each(growth["flush_time_ns"], growth["flush_requests"]),
    )


def interfaces(
    before: Sequence[Interface], after: Sequence[Interface], interval_ns: int
) -> tuple[InterfaceRates, ...]:
    """Return the traffic of the interfaces that both have, on the same device of the host."""
    old = {(one.key, one.target): one for one in before}
    return tuple(
        _interface(old[one.key, one.target], one, interval_ns)
        for one in after
        if (one.key, one.target) in old
    )


def _interface(before: Interface, after: Interface, interval_ns: int) -> InterfaceRates:
    growth = _growth(before, after, _INTERFACE)
    return InterfaceRates(
        key=after.key, **{f"{name}_per_s": _per_s(growth[name], interval_ns) for name in _INTERFACE}
    )


def _pairs(before: Sequence[Vcpu], after: Sequence[Vcpu]) -> list[tuple[Vcpu, Vcpu]]:
    """Return the vCPUs that both have, but for those that are known to be in another thread."""
    old = {vcpu.number: vcpu for vcpu in before}
    pairs = [(old[vcpu.number], vcpu) for vcpu in after if vcpu.number in old]
    return [
        (one, other)
        for one, other in pairs
        if None in (one.thread_id, other.thread_id) or one.thread_id == other.thread_id
    ]


def _growth(before: object, after: object, names: Iterable[str]) -> _Growth:
    """Return how far each counter of a device grew; all None where one of them began anew."""
    values = {name: (getattr(before, name), getattr(after, name)) for name in names}
    if any(old is not None and new is not None and new < old for old, new in values.values()):
        return dict.fromkeys(values)
    return {name: _grown(old, new) for name, (old, new) in values.items()}


def _grown(before: int | None, after: int | None) -> int | None:
    if before is None or after is None or after < before:
        return None
    return after - before


def _sum(values: Iterable[int | None]) -> int | None:
    """Return the sum; None where there is nothing, or one is not known."""
    known = list(values)
    return None if not known or None in known else sum(filter(None, known))


def _percent(part_ns: int | None, whole_ns: int) -> float | None:
    return None if part_ns is None or whole_ns <= 0 else 100 * part_ns / whole_ns


def _per_s(count: int | None, interval_ns: int) -> float | None:
    return None if count is None or interval_ns <= 0 else count * NS_PER_S / interval_ns


def _each(total: int | None, count: int | None) -> float | None:
    return None if total is None or not count else total / count
