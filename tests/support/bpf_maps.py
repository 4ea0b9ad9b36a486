# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps of the BPF source in plain memory: tests play the programs, pump and counters are real.

What the pump has made of it is read back from the ring as readers do.
"""

from __future__ import annotations

from typing import Any, Final

from kvmlog.engine.pump import Pump
from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import RECORD_BYTES, AnyRecord, LossRecord, decode_record, unpack_records
from kvmlog.ring.writer import RingWriter
from tests.support import records as make

CPUS: Final = 3
PART: Final[int] = lib.KVMLOG_BPF_CPU_RECORDS
THREADS: Final = 8192
FULL: Final[int] = lib.KVMLOG_LOSS_BUFFER_FULL


class Programs:
    """The maps while tracing is on, and what the programs of one CPU do to them (shared.h)."""

    def __init__(self, cpus: int = CPUS) -> None:
        self.control = ffi.new("struct kvmlog_bpf_control *")
        self.control.on = 1
        self.control.slots = THREADS
        self.cpus = ffi.new("struct kvmlog_bpf_cpu[]", cpus)
        self.records = ffi.new("struct kvmlog_record[]", cpus * PART)
        self.slots = ffi.new("struct kvmlog_bpf_slot[]", THREADS)
        self.native: Any = ffi.new(
            "struct kvmlog_bpf_maps *",
            {
                "control": self.control,
                "cpus": self.cpus,
                "records": self.records,
                "slots": self.slots,
                "count": cpus,
                "slot_count": THREADS,
                "records_fd": -1,
            },
        )

    def start_at(self, cpu: int, index: int) -> None:
        """Set a CPU's indices as if that many records had been written and taken before."""
        self.cpus[cpu].head = self.cpus[cpu].tail = index

    def put(self, cpu: int, record: bytes) -> None:
        """Store the record in the next slot without publishing it."""
        index = cpu * PART + self.cpus[cpu].head % PART
        ffi.memmove(self.records + index, record, RECORD_BYTES)

    def write(self, cpu: int, *records: bytes) -> None:
        """One after the other; where there is no room it is lost, as in write.c."""
        shared = self.cpus[cpu]
        for record in records:
            if shared.head - shared.tail == PART:
                shared.dropped_full += 1
                shared.lost += 1
                continue
            self.put(cpu, record)
            shared.head += 1

    def exits(self, cpu: int, first: int, count: int) -> None:
        """Exits whose times are first, first + 1, ..."""
        self.write(
            cpu, *(make.exit_bytes(exit_ns=first + number, cpu=cpu) for number in range(count))
        )

    def pending(self) -> list[AnyRecord]:
        """Return the records that kvmlog_bpf_pending() finds."""
        records = ffi.new("struct kvmlog_record[]", THREADS)
        count = lib.kvmlog_bpf_pending(self.native, records)
        return unpack_records(bytes(ffi.buffer(records, count * RECORD_BYTES)))

    def counters(self) -> dict[str, int]:
        """Return the counters of kvmlog_bpf_counters() by name."""
        counters = ffi.new("struct kvmlog_counters *")
        lib.kvmlog_bpf_counters(self.native, counters)
        names = [name for name, _ in ffi.typeof("struct kvmlog_counters").fields]
        return {name: int(getattr(counters, name)) for name in names}


def drain(pump: Pump) -> None:
    """One turn of the pump's loop, here: a stop that was given before ends the run at once."""
    lib.kvmlog_pump_stop(pump.native)
    assert lib.kvmlog_pump_run(pump.native) == 0


def stream(writer: RingWriter) -> list[object]:
    """The ring's records: an exit as its time, a loss as (cpu, lost, total)."""
    with RingReader(writer.path) as reader:
        records = unpack_records(reader.snapshot().records)
    for record in records:
        assert not isinstance(record, LossRecord) or record.cause == FULL
    return [
        (record.cpu, record.lost, record.total) if isinstance(record, LossRecord) else record.ns
        for record in records
    ]


def last_record(writer: RingWriter) -> AnyRecord:
    """The ring's newest."""
    with RingReader(writer.path) as reader:
        return decode_record(reader.snapshot(count=1).records)
