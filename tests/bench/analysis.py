# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmark of exports and queries: seconds, and bytes of each record.

    python -m tests.bench.analysis [RECORDS]     (default: 1,000,000)

Of a recording that is made up (tests/support/recordings.py), and of the one of two real guests. CPU
seconds of the process, which a busy machine does not change much, beside those of the clock.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kvmlog.cli.main import main as kvmlog
from kvmlog.recording.reader import Recording
from tests.support import exported, recordings

_QUERIES = {
    "query: by_reason": "select * from by_reason",
    "query: slow": "select count(*) from slow",
}


def measured(name: str, step: Callable[[], object], records: int, path: Path | None = None) -> None:
    """Run a step and print its line."""
    before, began = os.times(), time.monotonic()
    step()
    now, took_s = os.times(), time.monotonic() - began
    cpu_s = now.user + now.system - before.user - before.system
    line = f"  {name:<22}{cpu_s:>9.2f}{took_s:>9.2f}{cpu_s / records * 1e6:>9.2f}"
    if path is not None:
        files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
        line += f"{sum(one.stat().st_size for one in files) / records:>9.1f}"
    print(line, flush=True)


def measure(title: str, recording: Path, folder: Path) -> None:
    """Print the figures of one recording."""
    with Recording(recording) as opened:
        records = opened.records
    size = recording.stat().st_size / records
    print(f"{title}: {records:,} records, {size:.1f} bytes each as recorded")
    print(f"  {'':<22}{'CPU s':>9}{'clock s':>9}{'us each':>9}{'B each':>9}")
    for name in ("x.parquet", "x.arrow", "x.csv", "x.pftrace", "x.folded"):
        out = folder / name
        call = ["export", str(recording), "-o", str(out), "--force"]
        measured(name.removeprefix("x."), lambda call=call: kvmlog(call), records, out)  # type: ignore[misc]
        out.unlink()
    data = folder / "set"
    call = ["export", str(recording), "--dataset", str(data)]
    measured("data set", lambda: kvmlog(call), records, data)
    for name, sql in _QUERIES.items():
        ask = ["query", str(data), sql, "--format", "csv", "-o", os.devnull]
        measured(name, lambda ask=ask: kvmlog(ask), records)  # type: ignore[misc]
    print()


def main() -> int:
    """Measures and prints."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="kvmlog-bench-") as folder:
        made = recordings.synthetic(Path(folder) / "made.kvmlog", count, guests=4, vcpus=4)
        measure("Made up", made, Path(folder))
    with tempfile.TemporaryDirectory(prefix="kvmlog-bench-") as folder:
        measure("Two guests that boot", exported.REAL, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"Most memory: {peak / 1024:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
