# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scrape of many VMs costs, and what a host costs Prometheus.

    python -m tests.bench.metrics [VMS]      (default: 200)

A real `kvmlog metrics` reads statistics with so many guests, each with 14 reasons of all lengths,
and a collector's file with as many domains of two vCPUs, two disks and an interface.
"""

from __future__ import annotations

import gzip
import http.client
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.support.metrics_host import MetricsHost, populated_host

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


def main() -> int:
    """Measures and prints."""
    vms = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    head = f"{f'{vms} VMs':<28} {'median':>8}  {'longest':>8} {'series':>8}"
    print(f"{head} {'text':>11} {'gzip':>11}")
    with tempfile.TemporaryDirectory() as name, populated_host(Path(name), vms) as host:
        measure(host, "")
        measure(host, "application/openmetrics-text")
        print(f"CPU time of a scrape: {host.cpu_s() / (2 * ROUNDS + 1):.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
