# SPDX-License-Identifier: GPL-2.0-or-later
"""All figures of a VM under one name each, with its unit: what tables, CSV and JSON are made of.

None: not known. Figures of disks and interfaces are sums; CD-ROM and floppy drives do not count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from kvmlog.cli.vms.poll import Line
from kvmlog.vmstats.rates import BlockRates

Figures: TypeAlias = dict[str, Any]

_WHO: Final = (
    "uri",
    "uuid",
    "name",
    "domain_id",
    "pid",
    "state",
    "age_s",
    "stale",
    "timed_out",
    "hung",
    "vcpus",
    "interval_s",
)
_CPU: Final = (
    "cpu_percent_of_one_cpu",
    "cpu_percent_of_vcpus",
    "cpu_percent_of_host",
    "cpu_user_percent",
    "cpu_system_percent",
    "cpu_guest_percent",
    "steal_percent",
)
_MEMORY: Final = (
    "memory_used_bytes",
    "memory_actual_bytes",
    "memory_maximum_bytes",
    "memory_rss_bytes",
    "memory_available_bytes",
    "memory_unused_bytes",
    "memory_usable_bytes",
    "memory_disk_caches_bytes",
)
_PAGING: Final = (
    "swap_in_bytes_per_s",
    "swap_out_bytes_per_s",
    "major_faults_per_s",
    "minor_faults_per_s",
)
_BLOCK: Final = (
    "read_bytes_per_s",
    "read_requests_per_s",
    "write_bytes_per_s",
    "write_requests_per_s",
    "flush_requests_per_s",
)
_BLOCK_COUNTERS: Final = (
    "read_bytes",
    "read_requests",
    "write_bytes",
    "write_requests",
    "io_errors",
    "capacity_bytes",
    "allocation_bytes",
)
_INTERFACE: Final = tuple(
    f"{way}_{what}_per_s"
    for way in ("rx", "tx")
    for what in ("bytes", "packets", "errors", "drops")
)
_INTERFACE_COUNTERS: Final = tuple(name.removesuffix("_per_s") for name in _INTERFACE)
_EXITS: Final = (
    "exits_per_s",
    "exits",
    "exits_interval_s",
    "exit_reason",
    "exit_reason_count",
    "exit_reason_ns",
    "exit_reason_share",
)
# Of ExitFigures, in the order of _EXITS, from the second on.
_EXIT_FIELDS: Final = ("count", "over_s", "reason", "reason_count", "reason_ns", "share")
_LATENCIES: Final = ("read_latency_ns", "write_latency_ns", "flush_latency_ns")
NAMES: Final = (
    *_WHO,
    *_CPU,
    "cpu_time_ns",
    *_MEMORY,
    *_PAGING,
    *_BLOCK,
    *_LATENCIES,
    *_BLOCK_COUNTERS,
    *_INTERFACE,
    *_INTERFACE_COUNTERS,
    *_EXITS,
)


def figures(line: Line) -> Figures:
    """Return all figures of a VM, in the order of NAMES."""
    return dict(zip(NAMES, _values(line), strict=True))


def _values(line: Line) -> Iterator[Any]:
    sample, rates = line.vm.sample, line.rates
    yield from (sample.uri, sample.uuid, sample.name, sample.domain_id, sample.pid)
    yield sample.state.name.lower()
    yield from (line.age_s, line.stale, sample.timed_out, line.hung)
    yield from (sample.definition.vcpus, rates and rates.interval_ns / 1e9)
    cpu = rates and rates.cpu
    yield from (getattr(cpu, name.removeprefix("cpu_"), None) for name in _CPU)
    yield sample.cpu and sample.cpu.time_ns
    yield from (getattr(sample.memory, name.removeprefix("memory_"), None) for name in _MEMORY)
    yield from (getattr(rates and rates.memory, name, None) for name in _PAGING)
    uncounted = {disk.target for disk in sample.definition.disks if not disk.counts}
    moving = [one for one in (rates and rates.blocks) or () if one.target not in uncounted]
    standing = [one for one in sample.blocks or () if one.target not in uncounted]
    yield from (_sum(moving, name) for name in _BLOCK)
    yield from (_latency_ns(moving, name) for name in _LATENCIES)
    yield from (_sum(standing, name) for name in _BLOCK_COUNTERS)
    yield from (_sum((rates and rates.interfaces) or (), name) for name in _INTERFACE)
    yield from (_sum(sample.interfaces or (), name) for name in _INTERFACE_COUNTERS)
    exits = line.exits
    yield exits and exits.count / exits.over_s
    yield from (getattr(exits, name, None) for name in _EXIT_FIELDS)


def _sum(devices: Iterable[object], name: str) -> Any:
    """Return the sum over the devices that tell; None where none does."""
    known = [value for one in devices if (value := getattr(one, name)) is not None]
    return sum(known) if known else None


def _latency_ns(disks: Sequence[BlockRates], name: str) -> float | None:
    """Return the mean over all requests of all disks; None where there was none."""
    requests_per_s = name.replace("latency_ns", "requests_per_s")
    pairs = [
        (latency, rate)
        for one in disks
        if (latency := getattr(one, name)) is not None and (rate := getattr(one, requests_per_s))
    ]
    requests = sum(rate for _, rate in pairs)
    return sum(latency * rate for latency, rate in pairs) / requests if requests else None


# Words of --sort; text ascending, figures greatest first, unknown ones last.
SORTS: Final[dict[str, str]] = {
    "cpu": "cpu_percent_of_one_cpu",
    "name": "name",
    "steal": "steal_percent",
    "used": "memory_used_bytes",
    "memory": "memory_actual_bytes",
    "rss": "memory_rss_bytes",
    "read": "read_bytes_per_s",
    "write": "write_bytes_per_s",
    "read-latency": "read_latency_ns",
    "write-latency": "write_latency_ns",
    "rx": "rx_bytes_per_s",
    "tx": "tx_bytes_per_s",
    "exits": "exits_per_s",
    "age": "age_s",
}


def ordered(rows: Collection[Figures], sort: str) -> list[Figures]:
    """Return the rows sorted by a word of SORTS; equal ones by name."""
    name = SORTS[sort]
    if sort == "name":
        return sorted(rows, key=lambda row: (row["name"], row["uuid"]))

    def order(row: Figures) -> tuple[bool, float, str, str]:
        value = row[name]
        return value is None, -(value or 0), row["name"], row["uuid"]

    return sorted(rows, key=order)
