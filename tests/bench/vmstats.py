# SPDX-License-Identifier: GPL-2.0-or-later
"""What collecting VMs' statistics costs: 200 domains of libvirt's test driver, then two real ones.

    python -m tests.bench.vmstats [SECONDS]      (default: 30)

A real collector polls each second; CPU time of this machine, of the collector and, for the real
domains, of libvirtd, each in percent of one CPU and per domain and poll.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kvmlog.vmstats.libvirt.cpu_time import process_cpu_ns
from tests.support.libvirt_halted import halted_domain
from tests.support.libvirt_host import libvirt_host
from tests.support.libvirt_test_driver import write_host
from tests.support.vmstats_process import INTERVAL_S, Collector, collector

DOMAINS = 200
# The first polls read all definitions.
WARM_POLLS = 5


def line(name: str, cpu_ns: int, elapsed_s: float, polls: int, domains: int) -> str:
    """A line of the table."""
    percent = cpu_ns / elapsed_s / 1e7
    per_domain_us = cpu_ns / polls / domains / 1e3
    return f"{name:<44}{percent:>9.2f} %{per_domain_us:>12.1f} us"


def measure(running: Collector, daemon: int | None, seconds: float) -> Iterator[tuple[str, int]]:
    """Yield what ran, and the CPU time that it took within that many seconds."""
    own = running.process.pid
    pids = {"collector": own} | ({} if daemon is None else {"libvirtd": daemon})
    before = {name: process_cpu_ns(pid) or 0 for name, pid in pids.items()}
    time.sleep(seconds)
    for name, pid in pids.items():
        yield name, (process_cpu_ns(pid) or 0) - before[name]


def report(what: str, running: Collector, daemon: int | None, domains: int, seconds: float) -> None:
    """Measure a collector that has begun, and print."""
    running.until(lambda now: now.collector.connections[0].polls >= WARM_POLLS)
    first, began = running.snapshot().collector.connections[0].polls, time.monotonic()
    spent = dict(measure(running, daemon, seconds))
    elapsed_s = time.monotonic() - began
    polls = running.snapshot().collector.connections[0].polls - first
    for name, cpu_ns in spent.items():
        print(line(f"{what}: {name}", cpu_ns, elapsed_s, polls, domains), flush=True)


def main() -> int:
    """Measures and prints."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    print(f"{'every ' + format(INTERVAL_S, 'g') + ' s':<44}{'of a CPU':>11}{'per domain':>15}")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "driver").mkdir()
        with collector(folder / "driver", write_host(folder, DOMAINS)) as running:
            report(f"{DOMAINS} of the test driver", running, None, DOMAINS, seconds)
        if os.geteuid() != 0:
            print("real domains: run as root to measure them")
            return 0
        host = stack.enter_context(libvirt_host())
        for guest in ("web1", "data1"):
            stack.enter_context(halted_domain(host, guest))
        assert host.daemon is not None
        (folder / "real").mkdir()
        running = stack.enter_context(collector(folder / "real", host.read_only_uri))
        report("2 of QEMU (TCG)", running, host.daemon.pid, 2, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
