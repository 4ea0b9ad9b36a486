# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: what a page of `kvmlog report` takes: time, memory, size.

python -m tests.bench.report [EXITS...]     (default: 100000 1000000)
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.support import busy_host

GUESTS, VCPUS = 5, 8


def main(counts: list[int]) -> None:
    """Print a table: one line for each number of exits."""
    print(f"kvmlog report: recordings of {GUESTS} guests with {VCPUS} vCPUs each")
    print(f"{'exits':>10}{'recording':>12}{'page':>12}{'time':>9}{'CPU':>9}{'memory':>11}")
    with tempfile.TemporaryDirectory(prefix="kvmlog-bench-") as name:
        for count in counts:
            recording = busy_host.recording(
                Path(name) / f"{count}.kvmlog", count, number=GUESTS, vcpus=VCPUS
            )
            page = Path(name) / f"{count}.html"
            begun = time.monotonic()
            cpu_s, memory_mib = _made(recording, page)
            print(
                f"{count:>10,}{_mib(recording):>12}{_mib(page):>12}"
                f"{time.monotonic() - begun:>7.1f} s{cpu_s:>7.1f} s{memory_mib:>7.0f} MiB"
            )


def _made(recording: Path, page: Path) -> tuple[float, float]:
    """Make the page in a process of its own; its CPU time and its greatest size."""
    command = [sys.executable, "-m", "kvmlog.cli.main", "report", str(recording), "-o", str(page)]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        pid = os.posix_spawn(
            command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)]
        )
    finally:
        os.close(null)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, f"kvmlog report ended with status {status}"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1_024


def _mib(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100_000, 1_000_000])
