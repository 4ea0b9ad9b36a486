# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmlog.analysis.report.columns: the same fields and rules as one record at a time has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kvmlog.analysis.report import columns
from kvmlog.native import lib
from kvmlog.recording.reader import Recording
from kvmlog.ring.records import Record, decode_record
from kvmlog.ring.statistics.reader import By
from tests.support import busy_host, recordings
from tests.support.statistics_feed import exits

ALL_FLAGS = (1 << 13) - 1


def test_the_fields_are_those_of_a_record() -> None:
    """Names, places and values."""
    raw = np.random.default_rng(1).bytes(112 * 50)
    block = b"".join(b"\x01" + raw[at + 1 : at + 112] for at in range(0, len(raw), 112))
    found = columns.records_of(block)
    for at in range(50):
        record = decode_record(block, at)
        assert isinstance(record, Record)
        for name in Record._fields:
            bits = 16 if name == "user_errno" else 64
            assert int(found[name][at]) == getattr(record, name) % (1 << bits), name


def test_halts_are_those_of_the_statistics(tmp_path: Path) -> None:
    """Records with any isa, reason, return and flags: as many as the C code counts."""
    random = np.random.default_rng(3)
    count = 4_000
    records = exits(
        count,
        isa=random.integers(0, 4, count),
        reason=random.choice([0x78, 0xA6, 12, 1, 0x7B, 48], count),
        user_reason=random.choice([5, 2, 10], count),
        flags=random.integers(0, ALL_FLAGS + 1, count),
        exit_ns=recordings.STARTED_NS + np.arange(count) * 1_000,
        total_ns=500,
        vcpu=0,
    )
    path = recordings.write(tmp_path / "any.kvmlog", records)
    with Recording(path) as recording:
        snapshot = recording.statistics()
    counted = sum(row.count for row in snapshot.rows(By.GUEST) if row.halt)
    assert int(columns.halts(records).sum()) == counted
    assert 0 < counted < count


def test_returns_are_those_of_the_statistics(tmp_path: Path) -> None:
    """KVM_EXIT_INTR for a signal alone; none where it stayed in the kernel."""
    records = busy_host.exits(3_000, number=2, vcpus=1)
    records["flags"][::7] |= lib.KVMLOG_F_USER_EINTR
    path = recordings.write(tmp_path / "returns.kvmlog", records)
    with Recording(path) as recording:
        rows = recording.statistics().rows(By.RETURN)
    numbers, counts = np.unique(columns.returns(records), return_counts=True)
    counted: dict[int, int] = {}
    for row in rows:
        counted[row.user_reason] = counted.get(row.user_reason, 0) + row.count
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == counted


def test_the_part_in_the_vmm_leaves_out_pauses() -> None:
    """It is in percent, never more than 100 however damaged the record is."""
    records = exits(
        4,
        total_ns=[1_000, 1_000, 0, 10],
        user_ns=[500, 500, 0, 2**63],
        paused_ns=[0, 400, 0, 0],
    )
    assert columns.vmm_percent(records).tolist() == [50, 10, 0, 100]


def test_ends_do_not_wrap() -> None:
    """An exit of a damaged file that would end after 2^64 ends there."""
    records = exits(2, exit_ns=[5, 2**64 - 10], total_ns=[7, 100])
    assert columns.ends_ns(records).tolist() == [12, 2**64 - 1]
