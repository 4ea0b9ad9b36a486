# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracer itself: whether it traces, what it lost, what it costs, and when it will end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import Metric

from kvmlog.metrics.series import NS_PER_S, Families, Kind, label
from kvmlog.ring.reader import RingInfo
from kvmlog.ring.statistics.reader import Snapshot

_OUTCOMES: Final = ("emitted", "filtered", "sampled", "dropped")
_COSTS: Final = {"probes": "probe_ns", "worker": "worker_ns", "engine": "engine_ns"}

FAMILIES: Final[Mapping[str, tuple[Kind, str]]] = {
    "kvmlog_up": ("gauge", "1: this part can be read or asked; 0: it cannot."),
    "kvmlog_tracing": ("gauge", "1: exits are being traced."),
    "kvmlog_source_connected": ("gauge", "1: the bridge has its source, kmod or bpf."),
    "kvmlog_seen_exits_total": (
        "counter",
        "Exits that reached the source, since the ring was made: the sum of "
        "kvmlog_source_exits_total and kvmlog_pending_exits.",
    ),
    "kvmlog_source_exits_total": (
        "counter",
        "Exits by what became of them: emitted (recorded), filtered (not of a chosen VM), sampled "
        "(left out on purpose), dropped (lost).",
    ),
    "kvmlog_pending_exits": ("gauge", "Exits without their re-entry."),
    "kvmlog_lost_records_total": ("counter", "Records that did not come to the ring."),
    "kvmlog_lost_messages_total": ("counter", "Messages of the source that were lost."),
    "kvmlog_bad_messages_total": ("counter", "Messages of the source that were malformed."),
    "kvmlog_ring_records_total": ("counter", "Records written to the ring since it was made."),
    "kvmlog_ring_heartbeat_age_seconds": ("gauge", "Since the bridge last wrote the ring."),
    "kvmlog_statistics_start_time_seconds": (
        "gauge",
        "Unix time since which exits are counted: all counters of exits begin there.",
    ),
    "kvmlog_statistics_age_seconds": ("gauge", "Since which all that came is counted."),
    "kvmlog_statistics_exits_total": ("counter", "Exits that came to the statistics."),
    "kvmlog_statistics_unplaced_exits_total": (
        "counter",
        "Exits that the statistics had no room for: at all (reason), or in a histogram.",
    ),
    "kvmlog_statistics_forgotten_exits_total": (
        "counter",
        "Exits of VMs that ended and had to make room.",
    ),
    "kvmlog_cost_cpu_seconds_total": (
        "counter",
        "CPU time that tracing took since it was switched on: probes (in the vCPUs' threads), "
        "worker (of the kernel), engine (of the bridge).",
    ),
    "kvmlog_cost_ratio": ("gauge", "Part of all CPUs' time that tracing takes."),
    "kvmlog_budget_ratio": ("gauge", "Part of all CPUs' time that it may take; 0: no limit."),
    "kvmlog_budget_stopped": ("gauge", "1: tracing was switched off because of its cost."),
    "kvmlog_lease_seconds": ("gauge", "Until tracing ends by itself; absent: it does not."),
    "kvmlog_sampling": ("gauge", "1: not every exit of the chosen VMs is recorded."),
    "kvmlog_guests": ("gauge", "Guests that run."),
    "kvmlog_bridge_info": ("gauge", "The bridge and its source, as labels."),
}


@dataclass(frozen=True)
class Tracing:
    """What is known of it; None: it cannot be read, or asked."""

    ring: RingInfo | None
    statistics: Snapshot | None
    bridge: dict[str, Any] | None  # its status (docs/switch.md)
    now_ns: int  # CLOCK_MONOTONIC


def families(found: Tracing) -> list[Metric]:
    """Return the families of ring, statistics and bridge."""
    made = Families(FAMILIES)
    for part, there in (
        ("ring", found.ring is not None and found.ring.writer_alive),
        ("statistics", found.statistics is not None),
        ("bridge", found.bridge is not None),
    ):
        made.add("kvmlog_up", {"part": part}, int(there))
    if found.ring is not None:
        _ring(made, found.ring)
    else:
        made.add("kvmlog_tracing", {}, 0)
    if found.statistics is not None:
        _statistics(made, found.statistics, found.now_ns)
    if found.bridge is not None:
        _bridge(made, found.bridge)
    return made.metrics()


def _ring(made: Families, info: RingInfo) -> None:
    made.add("kvmlog_tracing", {}, int(info.switched_on and info.writer_alive))
    counters = info.counters
    made.add("kvmlog_seen_exits_total", {}, counters["seen"])
    for outcome in _OUTCOMES:
        made.add("kvmlog_source_exits_total", {"outcome": outcome}, counters[outcome])
    made.add("kvmlog_pending_exits", {}, counters["pending"])
    made.add("kvmlog_lost_records_total", {}, info.lost_records)
    made.add("kvmlog_lost_messages_total", {}, info.lost_messages)
    made.add("kvmlog_bad_messages_total", {}, info.bad_messages)
    made.add("kvmlog_ring_records_total", {}, info.head)
    made.add_seconds("kvmlog_ring_heartbeat_age_seconds", {}, info.heartbeat_age_ns)


def _statistics(made: Families, found: Snapshot, now_ns: int) -> None:
    started_s = found.since_realtime_ns / NS_PER_S
    made.add("kvmlog_statistics_start_time_seconds", {}, started_s)
    age_ns = max(0, now_ns - found.folded_ns)
    made.add_seconds("kvmlog_statistics_age_seconds", {}, age_ns)
    made.add("kvmlog_statistics_exits_total", {}, found.exits)
    for part, count in (("reason", found.overflow), ("histogram", found.overflow_histogram)):
        made.add("kvmlog_statistics_unplaced_exits_total", {"part": part}, count)
    made.add("kvmlog_statistics_forgotten_exits_total", {}, found.forgotten)


def _bridge(made: Families, status: Mapping[str, Any]) -> None:
    source = _struct(status, "source")
    made.add("kvmlog_source_connected", {}, int(bool(source.get("connected"))))
    names = {"version": status.get("version"), "source": source.get("name")}
    made.add("kvmlog_bridge_info", {name: label(str(one or "")) for name, one in names.items()}, 1)
    budget = _struct(status, "budget")
    since_on = _struct(budget, "since_on")
    for part, name in _COSTS.items():
        made.add_seconds("kvmlog_cost_cpu_seconds_total", {"part": part}, _whole(since_on, name))
    for name, key in (("kvmlog_cost_ratio", "percent"), ("kvmlog_budget_ratio", "limit_percent")):
        made.add(name, {}, next((percent / 100 for percent in _figures(budget, key)), None))
    made.add("kvmlog_budget_stopped", {}, int(budget.get("stopped") is not None))
    made.add("kvmlog_lease_seconds", {}, next(_figures(status, "lease_s"), None))
    made.add("kvmlog_sampling", {}, int(bool(status.get("sampling"))))
    made.add("kvmlog_guests", {}, next(_figures(_struct(status, "guests"), "running"), None))


def _struct(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _figures(found: Mapping[str, Any], name: str) -> Iterator[float]:
    """Yield the number of that name; none where a bridge of another version has none."""
    value = found.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _whole(found: Mapping[str, Any], name: str) -> int | None:
    return next((round(value) for value in _figures(found, name)), None)
