# SPDX-License-Identifier: GPL-2.0-or-later
"""The two ends of the torn-record tests, as processes of their own (tests/native/ring_race.c).

    python -m tests.support.ring_stress read  PATH UNTIL COUNT protocol|head
    python -m tests.support.ring_stress write PATH RECORDS BATCH
    python -m tests.support.ring_stress bridge PATH SLOTS RECORDS BATCH
    python -m tests.support.ring_stress counts PATH SLOTS BATCHES

`read` and `write` take any record size; `bridge` writes as the bridge does, through RingWriter.
`counts` only moves head and reserve. `read` prints one JSON object; all print "ready" first.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kvmlog.native import lib
from kvmlog.ring.header import HEADER_BYTES, MAGIC
from kvmlog.ring.writer import RingWriter
from tests.native import ffi
from tests.native import lib as testing

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: object) -> subprocess.Popen[str]:
    """One side of the race, running: it has reported that it is ready."""
    command = [sys.executable, "-m", "tests.support.ring_stress", *map(str, arguments)]
    end = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert end.stdout is not None
    assert end.stdout.readline() == "ready\n"
    return end


def kill(end: subprocess.Popen[str]) -> None:
    """Send SIGKILL, wherever it is; do nothing when it has ended."""
    with end:
        end.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[None]:
    """One side of the race, killed at the end of the block; it must not have ended before."""
    end = start(*arguments)
    try:
        yield
        assert end.poll() is None
    finally:
        kill(end)


def make_ring_file(path: Path, capacity: int, record_bytes: int) -> None:
    """A ring of any record size, empty; only the native functions read one of another size."""
    header = ffi.new("struct kvmlog_ring_header *")
    header.magic = MAGIC
    header.capacity = capacity
    header.record_bytes = record_bytes
    header.header_bytes = HEADER_BYTES
    path.write_bytes(bytes(ffi.buffer(header)) + bytes(capacity * record_bytes))


def geometry(descriptor: int) -> tuple[int, int]:
    """Capacity and record size of an open ring file, unchecked."""
    header = ffi.new("struct kvmlog_ring_header *")
    ffi.memmove(header, os.pread(descriptor, HEADER_BYTES, 0), HEADER_BYTES)
    return header.capacity, header.record_bytes


def read(path: str, until: int, count: int, head_only: bool) -> dict[str, int]:
    """Snapshots until head has reached `until`; what was seen."""
    descriptor = os.open(path, os.O_RDONLY)
    ring = ffi.new("struct kvmlog_ring *")
    assert lib.kvmlog_ring_map(ring, descriptor, *geometry(descriptor), 0) == 0
    result = ffi.new("struct kvmlog_test_race *")
    print("ready", flush=True)
    assert testing.kvmlog_test_race_read(ring, until, count, head_only, result) == 0
    return {name: getattr(result, name) for name, _ in ffi.typeof(result[0]).fields}


def write(path: str, records: int, batch: int) -> None:
    """Writes records into a ring of any record size."""
    descriptor = os.open(path, os.O_RDWR)
    writer = lib.kvmlog_writer_new(descriptor, *geometry(descriptor))
    assert writer != ffi.NULL
    print("ready", flush=True)
    testing.kvmlog_test_race_write(writer, records, batch)


def main(role: str, path: str, *numbers: str) -> None:
    """One end."""
    if role == "read":
        until, count, how = numbers
        print(json.dumps(read(path, int(until), int(count), how == "head")))
    elif role == "write":
        write(path, int(numbers[0]), int(numbers[1]))
    elif role == "counts":
        slots, batches = map(int, numbers)
        with RingWriter(path, slots) as writer:
            print("ready", flush=True)
            testing.kvmlog_test_race_counts(writer.native, batches)
    else:
        slots, records, batch = map(int, numbers)
        with RingWriter(path, slots) as writer:
            print("ready", flush=True)
            testing.kvmlog_test_race_write(writer.native, records, batch)


if __name__ == "__main__":
    main(*sys.argv[1:])
