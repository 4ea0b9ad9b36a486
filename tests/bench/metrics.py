# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scrape of many VMs costs, and what a host costs Prometheus.

    python -m tests.bench.metrics [VMS [SECONDS]]      (default: 200; 0: without Prometheus)

Then a real Prometheus (scripts/setup test) scrapes it each second, for SECONDS, while exits go on.

A real `kvmlog metrics` reads statistics with so many guests, each with 14 reasons of all lengths,
and a collector's file with as many domains of two vCPUs, two disks and an interface.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.support.metrics_host import REASONS, MetricsHost, populated_host
from tests.support.prometheus import Prometheus, prometheus
from tests.support.statistics_feed import exits

ROUNDS = 10


def measure(host: MetricsHost, accept: str) -> None:
    """Scrape some times and print a line."""
    times_s, body = [], b""
    for _ in range(ROUNDS):
        connection = http.client.HTTPConnection(host.address, host.port, timeout=60)
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Accept": accept, "Accept-Encoding": "gzip"})
        reply = connection.getresponse()
        packed = reply.read()
        times_s.append(time.perf_counter() - began)
        assert reply.status == 200
        body = gzip.decompress(packed)
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    print(
        f"{accept or 'text/plain':<28} {statistics.median(times_s):6.3f} s  {max(times_s):6.3f} s"
        f" {series:>8} {len(body) / 1e6:>8.2f} MB {len(packed) / 1e6:>8.3f} MB",
        flush=True,
    )


def store(host: MetricsHost, vms: int, seconds: float) -> None:
    """Have Prometheus scrape, and print what it takes for a series and for a sample."""
    folder = host.folder / "prometheus"
    with prometheus(folder, "", host.port) as server:
        server.until(lambda: bool(server.query("up")), "Prometheus")
        empty = _value(server, "process_resident_memory_bytes")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1)
            for number in range(1, vms + 1):
                for reason in REASONS:
                    host.counting.feed(exits(37, guest=number, reason=reason, total_ns=5_000))
            host.counting.writer.flush()
        series = _value(server, "prometheus_tsdb_head_series")
        memory = _value(server, "process_resident_memory_bytes") - empty
        blocks = list(server.snapshot(folder).glob("*/meta.json"))
        samples = sum(json.loads(one.read_text())["stats"]["numSamples"] for one in blocks)
        size = sum(one.stat().st_size for block in blocks for one in block.parent.rglob("chunks/*"))
        index = sum(one.stat().st_size for block in blocks for one in block.parent.glob("index"))
    print(
        f"Prometheus: {series:.0f} series, {memory / series / 1e3:.1f} kB of memory each; "
        f"{samples} samples, {size / samples:.2f} bytes of disk each, and {index / series:.0f} "
        "bytes for each series in a block"
    )


def _value(server: Prometheus, metric: str) -> float:
    """A figure that the server tells of itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as reply:
        text = reply.read().decode()
    return float(re.findall(rf"^{metric} (\S+)$", text, re.MULTILINE)[0])


def main() -> int:
    """Measures and prints."""
    vms = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    head = f"{f'{vms} VMs':<28} {'median':>8}  {'longest':>8} {'series':>8}"
    print(f"{head} {'text':>11} {'gzip':>11}")
    with tempfile.TemporaryDirectory() as name, populated_host(Path(name), vms) as host:
        measure(host, "")
        measure(host, "application/openmetrics-text")
        print(f"CPU time of a scrape: {host.cpu_s() / (2 * ROUNDS + 1):.3f} s")
        if seconds:
            store(host, vms, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
