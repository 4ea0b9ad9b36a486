# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics pushed as OTLP: a receiver that knows OpenTelemetry's messages gets the same figures."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from prometheus_client.parser import text_string_to_metric_families

from tests.support import vmstats_samples as samples
from tests.support.bridge_process import until
from tests.support.metrics_host import FIRST_PID, MetricsHost, guest, metrics_host
from tests.support.statistics_feed import exits, note
from tests.support.users import as_root

pytestmark = as_root


class Receiver(http.server.ThreadingHTTPServer):
    """An OTLP receiver over HTTP: what it was sent, parsed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pushes: list[tuple[dict[str, str], ExportMetricsServiceRequest]] = []
        self.status = 200
        self.hang = threading.Event()
        self.hang.set()

    @property
    def url(self) -> str:
        """The address to push to."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1/metrics"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        self.server.hang.wait()
        request = ExportMetricsServiceRequest.FromString(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.pushes.append((headers, request))
        self.send_response(self.server.status if self.path == "/v1/metrics" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that runs."""
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.hang.set()
            receiver.shutdown()
            thread.join()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[MetricsHost]:
    """A host with web1."""
    with metrics_host(tmp_path) as found:
        found.list_guests(guest(FIRST_PID + 1, "web1", samples.WEB1))
        found.counting.feed(
            note(1, FIRST_PID + 1),
            exits(7, reason=0x7B, total_ns=20_000),
            exits(3, reason=0x400, total_ns=3_000_000),
            exits(2, reason=0x78, total_ns=90_000),
        )
        found.counting.writer.flush()
        found.write_vms(samples.snapshot())
        yield found


def labels_of(point: Any) -> dict[str, str]:
    """The attributes of a point."""
    return {one.key: one.value.string_value for one in point.attributes}


def flattened(request: ExportMetricsServiceRequest) -> dict[tuple[str, str], float]:
    """Every figure of a push, as a scrape would have it."""
    found: dict[tuple[str, str], float] = {}

    def put(name: str, labels: dict[str, str], value: float) -> None:
        key = (name, str(sorted(labels.items())))
        assert key not in found
        found[key] = value

    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    for metric in scope.metrics:
        kind = metric.WhichOneof("data")
        if kind == "histogram":
            assert metric.histogram.aggregation_temporality == 2  # cumulative
            for point in metric.histogram.data_points:
                labels, up_to = labels_of(point), 0
                assert not point.HasField("min")
                for bound, count in zip(
                    [*point.explicit_bounds, float("inf")], point.bucket_counts, strict=True
                ):
                    up_to += count
                    put(f"{metric.name}_bucket", {**labels, "le": repr(bound)}, up_to)
                put(f"{metric.name}_count", labels, point.count)
                put(f"{metric.name}_sum", labels, point.sum)
                assert point.start_time_unix_nano > 0
        elif kind == "sum":
            assert metric.sum.is_monotonic
            assert metric.sum.aggregation_temporality == 2
            for number in metric.sum.data_points:
                assert number.start_time_unix_nano > 0
                put(f"{metric.name}_total", labels_of(number), number.as_double or number.as_int)
        else:
            for number in metric.gauge.data_points:
                put(metric.name, labels_of(number), number.as_double or number.as_int)
    return found


# What is another at each look.
MOVING = ("process_", "kvmlog_metrics_make", "_age_seconds")


def test_a_push_has_what_a_scrape_has(host: MetricsHost) -> None:
    """Each sample, with its labels and its value; the host is the resource."""
    with receiving() as receiver, host.serving("--otlp-url", receiver.url):
        until(lambda: bool(receiver.pushes))
        text = host.text()
    _, request = receiver.pushes[0]
    pushed = flattened(request)
    scraped = {
        (
            one.name,
            str(
                sorted(
                    {**one.labels, "le": repr(float(one.labels["le"]))}.items()
                    if "le" in one.labels
                    else one.labels.items()
                )
            ),
        ): one.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for one in family.samples
    }

    def steady(found: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
        return {key: value for key, value in found.items() if not any(m in key[0] for m in MOVING)}

    assert steady(pushed) == pytest.approx(steady(scraped))
    assert pushed.keys() == scraped.keys()
    attributes = {
        one.key: one.value.string_value for one in request.resource_metrics[0].resource.attributes
    }
    assert attributes["service.name"] == "kvmlog"
    assert attributes["host.name"]


def test_pushes_go_on_without_a_port_and_with_headers(host: MetricsHost) -> None:
    """Only pushed, with a secret header from a file; an outage is told once, and so is its end."""
    secret = host.folder / "headers"
    secret.write_text("# of the receiver\nAuthorization: Bearer s3cret\nX-Scope-OrgID: cloud 1\n")
    secret.chmod(0o600)
    with receiving() as receiver:
        receiver.status = 400
        options = ["--otlp-url", receiver.url, "--otlp-interval", "1", "--listen", ""]
        with host.serving(*options, "--otlp-headers", str(secret)):
            until(lambda: len(receiver.pushes) >= 2)
            receiver.status = 200
            until(lambda: any("takes metrics again" in line for line in host.lines))
    headers, _ = receiver.pushes[-1]
    assert (headers["authorization"], headers["x-scope-orgid"]) == ("Bearer s3cret", "cloud 1")
    assert sum("does not take metrics" in line for line in host.lines) == 1
    assert "s3cret" not in "".join(host.lines)


def test_a_receiver_that_hangs_holds_no_scrape_and_no_end(host: MetricsHost) -> None:
    """It costs a push; scrapes are answered, and the process ends when it is told to."""
    with receiving() as receiver:
        receiver.hang.clear()
        with host.serving("--otlp-url", receiver.url):
            assert "kvmlog_exits_total" in host.text()
        receiver.hang.set()
