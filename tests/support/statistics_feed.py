# SPDX-License-Identifier: GPL-2.0-or-later
"""Real statistics for tests, fed by hand: records as numpy arrays of their C struct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvmlog.native import ffi, lib
from kvmlog.ring.statistics.reader import By, Row, Snapshot, StatisticsReader
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from tests.native import lib as testing
from tests.support.records import guest_bytes

Records = NDArray[Any]
SLOTS = 1024
PER_REASON = By.GUEST | By.REASON
# Every way to group: all that is asked apart, and the kinds of rows that are kept.
ALL_BY = [
    rest | kind
    for rest in (By(0), By.GUEST, By.REASON, By.GUEST | By.REASON)
    for kind in (By(0), By.VCPU, By.DETAIL, By.RETURN)
]
PARTS = ("kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")


def dtype_of(name: str) -> Any:
    """A C struct of plain fields, arrays and structs, as numpy has it."""
    kind = ffi.typeof(name)
    if kind.kind == "primitive":
        return np.dtype(f"u{ffi.sizeof(kind)}")
    if kind.kind == "array":
        return np.dtype((dtype_of(kind.item.cname), (kind.length,)))
    fields = dict(kind.fields)
    return np.dtype(
        {
            "names": list(fields),
            "formats": [dtype_of(field.type.cname) for field in fields.values()],
            "offsets": [field.offset for field in fields.values()],
            "itemsize": ffi.sizeof(kind),
        }
    )


RECORD = dtype_of("struct kvmlog_record")


def exits(count: int = 1, **fields: Any) -> Records:
    """So many EXIT records of guest 1, SVM, the module's; a field: one value, or one for each."""
    records = np.zeros(count, RECORD)
    values = {
        "type": lib.KVMLOG_RECORD_EXIT,
        "isa": lib.KVMLOG_ISA_SVM,
        "source": lib.KVMLOG_SOURCE_KMOD,
        "guest": 1,
        **fields,
    }
    for name, value in values.items():
        records[name] = value
    return records


def note(number: int, tgid: int, **fields: int) -> Records:
    """A GUEST record: the source's number, and a process that started at its pid's second."""
    values = {"start_boottime_ns": tgid * 10**9, **fields}
    return np.frombuffer(guest_bytes(b"qemu", guest=number, tgid=tgid, **values), RECORD)


class Counting:
    """A ring and statistics of `mib` MiB in `folder`, and a reader of them."""

    def __init__(self, folder: Path, mib: int = 1) -> None:
        self.path = folder / "ring.statistics"
        self.ring = RingWriter(str(folder / "ring"), SLOTS)
        self.writer = StatisticsWriter(str(self.path), self.ring, mib)
        self.reader = StatisticsReader(self.path)

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.writer.close()
        self.ring.close()

    def feed(self, *batches: Records) -> None:
        """Take records as they come from a source."""
        records = np.ascontiguousarray(np.concatenate(batches))
        native = ffi.from_buffer("struct kvmlog_record[]", records)
        testing.kvmlog_test_count(self.writer.native, native, len(records))

    def snapshot(self) -> Snapshot:
        """Return a snapshot with all that was fed."""
        self.writer.flush()
        return self.reader.snapshot()

    def rows(self, by: By = PER_REASON) -> list[Row]:
        """Return the rows of all that was fed."""
        return self.snapshot().rows(by)

    def forget(self, *guests: int) -> None:
        """Forget a guest as make_room() does."""
        capacity = self.writer.header().guests_capacity
        flags, retired = ffi.new("unsigned char[]", capacity), ffi.new("unsigned char[]", capacity)
        table = ffi.new("struct kvmlog_statistics_guest[]", capacity)
        for guest in guests:
            flags[guest] = 1
        lib.kvmlog_statistics_list(self.writer.native, table, retired)
        lib.kvmlog_statistics_forget(self.writer.native, flags, table)


def add_up(rows: list[Row], field: str) -> int:
    """One field of all rows together."""
    return sum(getattr(row, field) for row in rows)


def counted(snapshot: Snapshot) -> int:
    """Return the sum of all exits that a snapshot accounts for; equal to its `exits`."""
    return add_up(snapshot.rows(By(0)), "count") + snapshot.overflow + snapshot.forgotten


class Elements:
    """Elements of a copy of a statistics file, one by one."""

    def __init__(self, snapshot: Snapshot) -> None:
        # The native struct begins with the address of the copied file's first byte.
        base = ffi.cast("char **", snapshot._native)[0]
        header = ffi.cast("struct kvmlog_statistics_header *", base)
        parts = {
            name: np.frombuffer(
                ffi.buffer(
                    base + getattr(header, f"{name}s_offset"),
                    getattr(header, f"{name}s_capacity") * dtype.itemsize,
                ),
                dtype,
            )
            for name, dtype in _ELEMENTS.items()
        }
        reasons = parts["reason"][: header.reasons_used]
        rows = parts["row"][: header.rows_used]
        self.reasons: Records = reasons[reasons["key"]["kind"] != lib.KVMLOG_STATISTICS_FREE]
        self.rows: Records = rows[rows["key"]["kind"] != lib.KVMLOG_STATISTICS_FREE]
        self.blocks: Records = parts["block"]["counts"]

    def histogram_counts(self) -> Records:
        """Return the number of durations in each reason's histogram."""
        # Block 0 is never used, and a copy's is empty.
        counts: Records = self.blocks[self.reasons["blocks"]].sum(axis=(1, 2))
        return counts


_ELEMENTS = {
    name: dtype_of(f"struct kvmlog_statistics_{name}")
    for name in ("guest", "reason", "block", "row")
}
