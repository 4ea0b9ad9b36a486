# SPDX-License-Identifier: GPL-2.0-or-later
"""The native filter on records in any memory: what it passes, against a plain account of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvmlog.native import lib
from kvmlog.ring.filter import ANNOUNCEMENTS, EVERY_RECORD, Filter, GuestTime, passing
from tests.support import recordings
from tests.support.records import guest_bytes, loss_bytes
from tests.support.statistics_feed import RECORD, Records


@pytest.fixture(scope="module")
def records() -> Records:
    """Exits of all kinds, a loss and an announcement among them."""
    found = recordings.exits(4_000)
    found["paused_ns"] = np.where(np.arange(4_000) % 7 == 0, found["user_ns"], 0)
    raw = found.tobytes()
    middle = len(raw) // 2
    notes = loss_bytes(ns=5, lost=1) + guest_bytes(b"q", guest=1, ns=2**62)
    return np.frombuffer(raw[:middle] + notes + raw[middle:], RECORD)


@pytest.mark.parametrize(
    ("criteria", "chosen"),
    [
        ({}, lambda r: r["type"] > 0),
        ({"total_ns": 3_000}, lambda r: r["total_ns"] >= 3_000),
        ({"busy_ns": 3_000}, lambda r: r["total_ns"] - r["halt_ns"] - r["paused_ns"] >= 3_000),
        ({"reasons": [(2, 0x400)]}, lambda r: r["reason"] == 0x400),
        ({"returns": [6]}, lambda r: r["user_reason"] == 6),
        (
            {"reasons": [(2, 0x78)], "returns": [2]},
            lambda r: (r["reason"] == 0x78) | (r["user_reason"] == 2),
        ),
        ({"guests": [GuestTime(2, 0, 2**64 - 1)]}, lambda r: r["guest"] == 2),
    ],
)
def test_exits_that_pass(records: Records, criteria: dict[str, Any], chosen: Any) -> None:
    """Whatever is asked of exits, other records pass."""
    others = records["type"] != lib.KVMLOG_RECORD_EXIT
    expected = records[chosen(records) | others]
    assert passing(records.tobytes(), Filter(**criteria)) == expected.tobytes()
    assert criteria == {} or 2 < len(expected) < len(records)


def test_the_least_time_holds_for_all_types(records: Records) -> None:
    """An announcement, a loss, an exit have their time at one place."""
    at = int(records["exit_ns"][3_000])
    expected = records[records["exit_ns"] >= at]
    assert passing(records.tobytes(), Filter(since_ns=at)) == expected.tobytes()
    assert 1 in expected["type"]
    assert lib.KVMLOG_RECORD_GUEST in expected["type"]
    assert lib.KVMLOG_RECORD_LOSS not in expected["type"]


def test_types(records: Records) -> None:
    """Announcements alone, or nothing of nothing."""
    assert len(passing(records.tobytes(), ANNOUNCEMENTS)) == RECORD.itemsize
    assert passing(b"", EVERY_RECORD) == b""
