# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmark of the statistics: counting exits, and reading 200 guests x 8 vCPUs x 30 reasons.

    python -m tests.bench.statistics

Milliseconds of this machine, best of ten, and as a ratio to a copy of as many bytes in memory: the
copy of the file, then the groups of its rows as Python tuples. Nanoseconds per exit that is
counted: of few ports, and of as many as there are, where each takes another one's row.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kvmlog.config.schema.defaults import DEFAULT_MIB, DEFAULT_SLOTS
from kvmlog.native import ffi, lib
from kvmlog.ring.statistics.reader import By, StatisticsReader
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from tests.native import lib as testing

GUESTS, VCPUS, REASONS = 200, 8, 30
EXITS_PER_ROW = 40
ROUNDS = 10
SHOWN = (By.GUEST | By.REASON, By.GUEST | By.REASON | By.VCPU, By.GUEST | By.REASON | By.DETAIL)


def fill(statistics: StatisticsWriter) -> None:
    """Exits of every row, from 2 to 80 us."""
    records = ffi.new("struct kvmlog_record[]", REASONS * EXITS_PER_ROW)
    for guest in range(GUESTS):
        for vcpu in range(VCPUS):
            for index, record in enumerate(records):
                record.type = lib.KVMLOG_RECORD_EXIT
                record.isa = lib.KVMLOG_ISA_SVM
                record.source = lib.KVMLOG_SOURCE_KMOD
                record.guest, record.vcpu = guest + 1, vcpu
                record.reason = 0x60 + index % REASONS
                record.total_ns = 2_000 * (1 + index // REASONS)
            testing.kvmlog_test_count(statistics.native, records, len(records))
    statistics.flush()


def counting_ns(statistics: StatisticsWriter, ports: int) -> float:
    """Nanoseconds of CPU time per exit of a guest that accesses these ports in turn."""
    records = ffi.new("struct kvmlog_record[]", 1 << 17)
    for index, record in enumerate(records):
        record.type, record.isa, record.source = lib.KVMLOG_RECORD_EXIT, lib.KVMLOG_ISA_SVM, 1
        record.guest, record.reason = GUESTS + 1, lib.KVMLOG_SVM_IOIO
        record.flags, record.detail = lib.KVMLOG_F_DETAIL_VALID, index % ports
        record.total_ns = 1_000 + index % 977
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        testing.kvmlog_test_count(statistics.native, records, len(records))
        statistics.flush()
        took.append(time.process_time() - began)
    return min(took) / len(records) * 1e9


def best_ms(step: Callable[[], object]) -> float:
    """Milliseconds of the fastest round."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return min(took) * 1_000


def main() -> int:
    """Measures and prints."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        RingWriter(f"{folder}/ring", DEFAULT_SLOTS) as ring,
    ):
        path = f"{folder}/ring.statistics"
        statistics = StatisticsWriter(path, ring, DEFAULT_MIB)
        fill(statistics)
        with StatisticsReader(path) as reader:
            copy_ms = best_ms(reader.snapshot)
            raw = Path(path).read_bytes()
            memory_ms = best_ms(lambda: bytearray(raw))
            ratio = copy_ms / memory_ms
            print(f"copy of the file: {copy_ms:.1f} ms, {ratio:.2f} of a plain copy of all of it")
            snapshot = reader.snapshot()
            for by in SHOWN:
                rows_ms = best_ms(lambda: snapshot.rows(by))  # noqa: B023
                names = ", ".join(str(one.name).lower() for one in by)
                print(
                    f"by {names}: {len(snapshot.rows(by)):,} groups in {rows_ms:.1f} ms, "
                    f"{copy_ms + rows_ms:.1f} ms with the copy"
                )
        for ports in (1, 32, 1 << 16):
            print(
                f"counting exits of {ports:,} ports: {counting_ns(statistics, ports):.0f} ns each"
            )
        statistics.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
