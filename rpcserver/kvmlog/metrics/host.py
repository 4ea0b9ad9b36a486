# SPDX-License-Identifier: GPL-2.0-or-later
"""All metrics of this host, made anew each time they are asked for, and what making them took."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from kvmlog.metrics import domains, exits, tracing
from kvmlog.metrics.series import Families, Kind, Room
from kvmlog.metrics.sources import BridgeWatch, Files
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import lateness

FAMILIES: Final[Mapping[str, tuple[Kind, str]]] = {
    "kvmlog_metrics_series": ("gauge", "Series in this scrape, but for those of kvmlog_metrics."),
    "kvmlog_metrics_series_limit": (
        "gauge",
        "Series that there may be of VMs, half of them of exits (metrics.series_most).",
    ),
    "kvmlog_metrics_vms_left_out": (
        "gauge",
        "VMs without series, because the limit was reached; part: of exits, of domains.",
    ),
    "kvmlog_metrics_make_seconds": ("gauge", "Time that it took to read and make this scrape."),
}


class HostMetrics(Collector):
    """A collector of prometheus_client, over the files of one host; thread-safe."""

    def __init__(self, files: Files, bridge: BridgeWatch, series_most: int) -> None:
        """series_most: of VMs; the others are some hundred."""
        self._files = files
        self._bridge = bridge
        self._series_most = series_most
        self._lock = threading.Lock()  # covers the files' readers
        # Not into the package's own registry, which would show this process's alone.
        self._process = ProcessCollector(registry=CollectorRegistry())

    def collect(self) -> Iterator[Metric]:
        """Yield all families; raises nothing for what cannot be read (kvmlog_up)."""
        began = time.perf_counter()
        with self._lock:
            found, rooms = self._make()
        made = Families(FAMILIES)
        made.add("kvmlog_metrics_series", {}, sum(len(one.samples) for one in found))
        made.add("kvmlog_metrics_series_limit", {}, self._series_most)
        for part, room in rooms.items():
            made.add("kvmlog_metrics_vms_left_out", {"part": part}, room.left_out)
        made.add("kvmlog_metrics_make_seconds", {}, time.perf_counter() - began)
        yield from found
        yield from self._process.collect()
        yield from made.metrics()

    def started_realtime_ns(self) -> int:
        """Return since when exits are counted, Unix time; 0: not known."""
        with self._lock:
            statistics = self._files.read().statistics
        return 0 if statistics is None else statistics.since_realtime_ns

    def _make(self) -> tuple[Sequence[Metric], Mapping[str, Room]]:
        found = self._files.read()
        now = Moment.now()
        rooms = {part: Room(self._series_most // 2) for part in ("exits", "domains")}
        parts: list[Metric] = []
        parts += tracing.families(
            tracing.Tracing(found.ring, found.statistics, self._bridge.newest(), now.monotonic_ns)
        )
        if found.statistics is not None:
            alive = found.ring is not None and found.ring.writer_alive
            vms = exits.vms(found.statistics, self._files.names, alive)
            parts += exits.families(vms, rooms["exits"])
        late = found.vms is not None and lateness(found.vms, now) is not None
        parts += domains.families(found.vms, late, now, rooms["domains"])
        return parts, rooms
