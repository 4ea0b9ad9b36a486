# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmRecords: how often its records are decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.ring import records as ring_records
from kvmlog.ring.records import RECORD_BYTES, AnyRecord, unpack_records
from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver.methods import paging, records
from tests.support.records import exit_bytes
from tests.support.rpc_calls import as_received, call_of

WRITTEN = 100
STRUCTS = {"form": "structs"}


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[str]:
    """A ring with records 0 to 99 by their time, of which the even ones took 5 ns."""
    path = str(tmp_path / "ring")
    with RingWriter(path, 1_024) as writer:
        for n in range(WRITTEN):
            writer.append(exit_bytes(exit_ns=n, total_ns=0 if n % 2 else 5))
        yield path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Count how often each record is decoded, by its time."""
    counts: Counter[int] = Counter()

    def counting(raw: Any) -> list[AnyRecord]:
        found = unpack_records(raw)
        counts.update(one.ns for one in found)
        return found

    for module in (ring_records, paging, records):
        monkeypatch.setattr(module, "unpack_records", counting)
    return counts


@pytest.mark.parametrize("position", [{}, {"since": "0", "ring_id": "00" * 16}])
@pytest.mark.parametrize("selection", [{}, {"slower_than_ns": 1}])
def test_structs_are_decoded_once(
    ring: str, decoded: Counter[int], position: dict[str, Any], selection: dict[str, Any]
) -> None:
    """Each record that is returned once, and no other, whether some or all are selected."""
    reply = as_received(records.records(call_of(ring, {**STRUCTS, **position, **selection})))
    expected = [n for n in range(WRITTEN) if not selection or n % 2 == 0]
    assert reply["count"] == str(len(expected))
    assert [int(one["exit_ns"]) for one in reply["records"]] == expected
    assert decoded == Counter(expected)


def test_a_block_of_all_records_is_not_decoded(ring: str, decoded: Counter[int]) -> None:
    """The bytes are copied as they are when there is no selection."""
    reply = as_received(records.records(call_of(ring)))
    assert reply["count"] == str(WRITTEN)
    assert len(reply["records"]) > WRITTEN * RECORD_BYTES
    assert not decoded
