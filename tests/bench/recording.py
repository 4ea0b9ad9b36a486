# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmark of recordings: bytes and CPU time a record, of real guests and of made-up ones.

    python -m tests.bench.recording

CPU time of this machine, best of several rounds. What `kvmlog record` takes at 100,000 records a
second, while they are written into a ring: as a share of one core, everything included (reading the
ring, waking up 20 times a second, compressing, writing the file to tmpfs).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kvmlog.config.schema.defaults import DEFAULT_SLOTS
from kvmlog.native import ffi, lib
from kvmlog.recording.format import BLOCK_RECORDS, records_block
from kvmlog.recording.reader import Recording
from kvmlog.ring.records import RECORD_BYTES
from kvmlog.ring.writer import RingWriter
from tests.support import recordings

ROUNDS = 5
RECORDS = 1_000_000
PER_S, SECONDS, BATCHES_PER_S = 100_000, 10, 100
REAL = Path(__file__).resolve().parents[1] / "data/recordings/two-guests-boot.kvmlog"


def best_s(step: Callable[[], object]) -> float:
    """CPU seconds of the cheapest round."""
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        step()
        took.append(time.process_time() - began)
    return min(took)


def blocks_of(raw: bytes) -> int:
    """Bytes of the records in full blocks."""
    step = BLOCK_RECORDS * RECORD_BYTES
    return sum(len(records_block(raw[at : at + step], 0)) for at in range(0, len(raw), step))


def packing(name: str, raw: bytes) -> None:
    """Prints size and time of packing and unpacking."""
    count = len(raw) // RECORD_BYTES
    packed_s = best_s(lambda: blocks_of(raw))
    print(
        f"{name}: {blocks_of(raw) / count:.1f} bytes a record in full blocks, "
        f"packed in {packed_s / count * 1e9:.0f} ns"
    )


def recorder_share(folder: Path) -> float:
    """CPU share of `kvmlog record` while the ring gets PER_S records a second."""
    ring, file = folder / "ring", folder / "x.kvmlog"
    batch = PER_S // BATCHES_PER_S
    raw = recordings.exits(PER_S).tobytes()
    with RingWriter(str(ring), DEFAULT_SLOTS) as writer:
        writer.switched(True, lib.KVMLOG_SOURCE_KMOD)
        command = [sys.executable, "-m", "kvmlog.cli.main", "record", "-o", str(file)]
        places = ["--ring", str(ring), "--switch", str(folder / "switch")]
        with subprocess.Popen([*command, *places], stderr=subprocess.DEVNULL) as recorder:
            while not file.exists() or not file.stat().st_size:
                time.sleep(0.05)
            before = cpu_s(recorder.pid)
            began = time.monotonic()
            for number in range(SECONDS * BATCHES_PER_S):
                at = number % BATCHES_PER_S * batch * RECORD_BYTES
                part = ffi.from_buffer(raw[at : at + batch * RECORD_BYTES])
                lib.kvmlog_writer_append(writer.native, part, batch)
                time.sleep(max(0.0, began + (number + 1) / BATCHES_PER_S - time.monotonic()))
            share = (cpu_s(recorder.pid) - before) / (time.monotonic() - began)
            recorder.terminate()
    with Recording(file) as recording:
        print(
            f"recorded {recording.records:,} of {SECONDS * PER_S:,} records, "
            f"{file.stat().st_size / recording.records:.1f} bytes each, "
            f"{recording.lost_records:,} lost"
        )
    return share


def cpu_s(pid: int) -> float:
    """CPU seconds of a running process (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measures and prints."""
    with Recording(REAL) as recording:
        real = b"".join(recording.blocks())
        print(
            f"{REAL.name}: {recording.records:,} records, "
            f"{REAL.stat().st_size / recording.records:.1f} bytes each, all included"
        )
    packing("of it", real)
    packing("made up", recordings.exits(200_000).tobytes())
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        share = recorder_share(folder)
        print(f"kvmlog record at {PER_S:,} records a second: {share:.1%} of a core")
        path = recordings.synthetic(folder / "large", RECORDS)
        with Recording(path) as recording:
            read_s = best_s(lambda: sum(map(len, recording.blocks())))
            counted_s = best_s(recording.statistics)
        print(
            f"{RECORDS:,} records: read in {read_s:.2f} s, counted as stat does in "
            f"{counted_s:.2f} s; the reader has {resource_mib():.0f} MiB"
        )
    return 0


def resource_mib() -> float:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


if __name__ == "__main__":
    sys.exit(main())
