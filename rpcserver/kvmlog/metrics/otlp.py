# SPDX-License-Identifier: GPL-2.0-or-later
"""The same families as OTLP: cumulative sums, gauges and histograms, pushed over HTTP.

A push is made in a thread of its own, and has a deadline: a receiver that hangs costs one push.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as OtlpMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from kvmlog.metrics.host import HostMetrics
from kvmlog.util.closeable import Closeable

_TIMEOUT_S: Final = 10.0
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_UNITS: Final = {"seconds": "s", "bytes": "By", "percent": "%", "ratio": "1"}
_BUCKET: Final = "_bucket"
# Left out of the message.
_NOT_KNOWN: Final[Any] = None


def metrics_data(
    families: Iterable[Metric], started_ns: int, now_ns: int, resource: Mapping[str, str]
) -> MetricsData:
    """Return the families as OTLP has them, at a time; started_ns: since when counters count."""
    scope = InstrumentationScope("kvmlog")
    found = [_metric(one, started_ns, now_ns) for one in families]
    return MetricsData(
        [ResourceMetrics(Resource(dict(resource)), [ScopeMetrics(scope, found, "")], "")]
    )


class Pusher(Closeable):
    """Pushes a host's metrics from start() to close()."""

    def __init__(
        self,
        metrics: HostMetrics,
        url: str,
        interval_s: float,
        headers: Mapping[str, str],
        ca: str,
        version: str,
        log: Callable[[str], None],
    ) -> None:
        """log: takes a sentence when a push fails, and another when one succeeds again."""
        self._metrics = metrics
        self._url = url
        self._interval_s = interval_s
        self._log = log
        self._failing = False
        self._stopping = threading.Event()
        self._resource = {
            "service.name": "kvmlog",
            "service.version": version,
            "host.name": socket.gethostname(),
        }
        # Of themselves they would write tracebacks of each failure, and take URL and headers from
        # the environment.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = OTLPMetricExporter(
            endpoint=url,
            certificate_file=ca or None,
            headers=dict(headers),
            timeout=_TIMEOUT_S,
            compression=Compression.Gzip,
        )
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    def start(self) -> None:
        """Begin: with a push at once."""
        self._thread.start()

    def close(self) -> None:
        """Push no more; one under way is given up."""
        self._stopping.set()
        self._exporter.shutdown(timeout_millis=0)

    def push(self) -> bool:
        """Push once; return whether the receiver has taken it."""
        families = list(self._metrics.collect())
        started_ns = self._metrics.started_realtime_ns()
        data = metrics_data(families, started_ns, time.time_ns(), self._resource)
        return self._exporter.export(data) is MetricExportResult.SUCCESS

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self._told(self.push())
            self._stopping.wait(max(0.0, self._interval_s - (time.monotonic() - began_s)))

    def _told(self, done: bool) -> None:
        if self._stopping.is_set():
            return
        if not done and not self._failing:
            self._log(
                f"{self._url} does not take metrics; they are pushed again every "
                f"{self._interval_s:g} s: look at the receiver, its address, --otlp-ca and "
                "--otlp-headers"
            )
        elif done and self._failing:
            self._log(f"{self._url} takes metrics again")
        self._failing = not done


def _metric(family: Metric, started_ns: int, now_ns: int) -> OtlpMetric:
    if family.type == "histogram":
        points = _histograms(family, started_ns, now_ns)
        return OtlpMetric(family.name, family.documentation, "s", Histogram(points, _CUMULATIVE))
    counter = family.type == "counter"
    numbers = [
        NumberDataPoint(one.labels, started_ns if counter else 0, now_ns, one.value)
        for one in family.samples
    ]
    data = Sum(numbers, _CUMULATIVE, is_monotonic=True) if counter else Gauge(numbers)
    return OtlpMetric(family.name, family.documentation, _unit(family.name), data)


def _histograms(family: Metric, started_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    """Return one point for each histogram of the family, whose samples stand side by side."""
    points: list[HistogramDataPoint] = []
    buckets: list[Sample] = []
    count = 0
    for one in family.samples:
        if one.name.endswith(_BUCKET):
            buckets.append(one)
        elif one.name.endswith("_count"):
            count = int(one.value)
        else:
            up_to = [int(bucket.value) for bucket in buckets]
            points.append(
                HistogramDataPoint(
                    attributes=one.labels,
                    start_time_unix_nano=started_ns,
                    time_unix_nano=now_ns,
                    count=count,
                    sum=one.value,
                    # Here each bucket has its own exits, there all up to its bound.
                    bucket_counts=[
                        more - before for more, before in zip(up_to, [0, *up_to], strict=False)
                    ],
                    explicit_bounds=[float(bucket.labels["le"]) for bucket in buckets[:-1]],
                    min=_NOT_KNOWN,
                    max=_NOT_KNOWN,
                )
            )
            buckets = []
    return points


def _unit(name: str) -> str:
    return next((unit for word, unit in _UNITS.items() if name.endswith(f"_{word}")), "")
