# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings for tests of exports and queries, and what the statistics say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kvmlog.exits.reasons.names import reason_name
from kvmlog.native import lib
from kvmlog.recording.reader import Recording
from kvmlog.ring.statistics.reader import By, Row
from tests.support import recordings
from tests.support.records import clock_bytes, loss_bytes, switch_bytes
from tests.support.statistics_feed import Records

REAL = Path(__file__).resolve().parents[1] / "data" / "recordings" / "two-guests-boot.kvmlog"
FORMULA = "=cmd|' /C calc'!A0"


def varied(count: int, isa: str = "svm") -> Records:
    """Exits with nested guests, pauses, waits for a CPU, VMX's flags, and none without a CPU."""
    records = recordings.exits(count, isa=isa)
    random = np.random.default_rng(7)
    nested = random.random(count) < 0.1
    records["flags"] |= np.where(nested, lib.KVMLOG_F_NESTED, 0).astype("u2")
    by_l1 = nested & (random.random(count) < 0.5)
    records["flags"] |= np.where(by_l1, lib.KVMLOG_F_NESTED_L1, 0).astype("u2")
    records["flags"] |= np.where(nested & ~by_l1, lib.KVMLOG_F_NESTED_L0, 0).astype("u2")
    # Longer than the wait, so that of no exit a part is cut off.
    waited = records["total_ns"] - records["user_ns"] > 4_000
    records["delay_kernel_us"] = waited
    records["flags"] |= np.where(waited, lib.KVMLOG_F_DELAY_VALID, 0).astype("u2")
    held = records["user_ns"] > 8_000
    records["paused_ns"] = np.where(held, 3_000, 0)
    records["flags"] |= np.where(held, lib.KVMLOG_F_USER_EINTR, 0).astype("u2")
    if isa == "vmx":
        records["reason"] |= np.where(nested, 1 << 31, 0).astype("u4")
    return records


def notes() -> bytes:
    """Records of the other types, a loss of 7 records and one of an unknown number among them."""
    at = recordings.STARTED_NS
    return b"".join(
        (
            switch_bytes(ns=at, on=1, cause=lib.KVMLOG_SWITCH_COMMAND, one_in=1),
            clock_bytes(ns=at, event=lib.KVMLOG_CLOCK_STEP, delta_ns=-5),
            loss_bytes(ns=at + 5_000, lost=7, total=7, cause=lib.KVMLOG_LOSS_BUFFER_FULL, cpu=2),
            loss_bytes(ns=at + 9_000, lost=0, cause=lib.KVMLOG_LOSS_RESTART),
        )
    )


def made(path: Path, count: int = 3_000, isa: str = "svm", name: str = FORMULA) -> Path:
    """A recording of two guests, the first one's name as given, with records of all types."""
    guests = [recordings.guest(1, name), recordings.guest(2, uuid=None)]
    raw = notes() + varied(count, isa).tobytes()
    return recordings.write(path, raw, guests=guests, about=recordings.header(isa=isa))


def rows_by_reason(path: Path) -> dict[tuple[Any, ...], Row]:
    """The rows of `kvmlog stat --by reason`, by the columns of the view by_reason."""
    handlers = {0: None, 1: "l0", 2: "l1"}
    with Recording(path) as recording:
        rows = recording.statistics().rows(By.REASON)
    return {
        (
            reason_name(row.isa, row.reason),
            bool(row.halt),
            bool(row.nested),
            handlers[row.handler],
        ): row
        for row in rows
    }
