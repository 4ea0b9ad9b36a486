# SPDX-License-Identifier: GPL-2.0-or-later
"""How long calls on many hosts take, on loopback, and what a host costs whoever watches a fleet.

    python -m tests.bench.fleet [HOSTS]      (default: 1000)

The hosts are a process of their own, whose replies are those of real servers; both share this
machine's CPUs. `kvmlog fleet` runs as users run it: a new process, a new connection to each host.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.bridge_process import KVMLOG

CALLS = (
    ("hypervisors", "--json"),
    ("totals",),
    ("services", "--json"),
    ("usage", "--json"),
    ("limits", "--json"),
)


def main() -> None:
    """Print a line for each call."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    served = subprocess.Popen(
        [sys.executable, "-m", "tests.support.fleet_hosts", str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert served.stdout is not None
    try:
        ports = [served.stdout.readline().strip() for _ in range(count)]
        assert served.stdout.readline() == "serving\n"
        with tempfile.TemporaryDirectory() as folder:
            hosts = Path(folder) / "hosts.txt"
            hosts.write_text("".join(f"127.0.0.1:{port}\n" for port in ports))
            print(f"{count} hosts, {os.cpu_count()} CPUs, 32 hosts at a time")
            print(f"{'kvmlog fleet':<22} {'seconds':>8} {'CPU s':>7} {'MiB':>6} {'kB out':>8}")
            for call in CALLS:
                _measure(hosts, *call)
    finally:
        served.kill()
        served.wait()


def _measure(hosts: Path, *call: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began_s = time.perf_counter()
    done = subprocess.run(
        [*KVMLOG, "fleet", *call, "--hosts", str(hosts)], capture_output=True, check=False
    )
    took_s = time.perf_counter() - began_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2_000:].decode()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{' '.join(call):<22} {took_s:>8.2f} {cpu_s:>7.2f} {after.ru_maxrss / 1024:>6.0f} "
        f"{len(done.stdout) / 1e3:>8.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
