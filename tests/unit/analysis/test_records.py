# SPDX-License-Identifier: GPL-2.0-or-later
"""The columns of records say what `kvmlog dump --json` says, and count what statistics count."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlog.analysis.records.batches import SCHEMA, Batches, batches_of
from kvmlog.analysis.records.fields import FIELDS
from kvmlog.analysis.records.reference import table
from kvmlog.analysis.records.structs import EXIT, in_time_order
from kvmlog.cli.records import record_lines
from kvmlog.exits.search import Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.native import ffi
from kvmlog.recording.pieces import gathered
from kvmlog.recording.reader import Recording
from kvmlog.ring.clocks import ClockPair, Clocks
from kvmlog.ring.records import RECORD_BYTES, unpack_records
from tests.support import exported, recordings
from tests.support.records import exit_bytes, guest_bytes

# Columns that JSON has as they are.
SAME = (
    *("wall_ns", "guest", "guest_name", "guest_uuid", "guest_pid", "vcpu", "cpu", "tid"),
    *("reason", "reason_name", "detail_kind", "detail_words", "user_reason", "user_reason_name"),
    *("user_errno", "user_exits", "total_ns", "user_ns", "halt_ns", "delay_kernel_us"),
    *("delay_user_us", "info_words", "config_epoch", "lost", "words", "delta_ns"),
)
BITS = ("rip", "info1", "info2", "detail")


def view_of(recording: Recording) -> GuestView:
    """All guests of a recording."""
    return GuestView(GuestList(recording.guests.guests))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """All rows of a recording."""
    with Recording(path) as recording:
        found = batches_of(recording, view_of(recording), Selection())
        return [row for batch in found for row in batch.to_pylist()]


def objects_of(path: Path) -> list[dict[str, Any]]:
    """What dump --json prints of all records."""
    with Recording(path) as recording:
        records = unpack_records(b"".join(recording.blocks()))
        view = view_of(recording)
        view.learn(records)
        return [json.loads(line) for line in record_lines(records, recording.clocks(), view, True)]


def signed(value: int | None) -> int | None:
    """The same 64 bits, signed."""
    return None if value is None else value - (1 << 64 if value >= 1 << 63 else 0)


def require_same(row: dict[str, Any], found: dict[str, Any]) -> None:
    """A row has what the object of the record has."""
    assert {name: row[name] for name in SAME} == {name: found.get(name) for name in SAME}
    assert {name: row[name] for name in BITS} == {name: signed(found.get(name)) for name in BITS}
    assert row["type"] == found["type_name"]
    assert row["monotonic_ns"] == found.get("exit_ns", found.get("ns"))
    assert row["source"] == found["source_name"]
    assert (row["flag_names"] or "").split() == found.get("flag_names", [])
    assert row["reason_flags"] == (", ".join(found.get("reason_flags", [])) or None)
    assert (row["cause"], row["event"]) == (found.get("cause_name"), found.get("event_name"))


@pytest.mark.parametrize("isa", ["svm", "vmx"])
def test_rows_are_what_dump_prints_as_json(tmp_path: Path, isa: str) -> None:
    """Columns are those of records of all types, in the same order."""
    path = exported.made(tmp_path / "r", 800, isa)
    rows, found = rows_of(path), objects_of(path)
    assert len(rows) == len(found) == 806
    for row, one in zip(rows, found, strict=True):
        require_same(row, one)


def test_rows_of_real_guests_are_what_dump_prints_as_json() -> None:
    """Each 50th of the records of two guests that boot."""
    rows, found = rows_of(exported.REAL), objects_of(exported.REAL)
    assert len(rows) == len(found)
    for row, one in itertools.islice(zip(rows, found, strict=True), 0, None, 50):
        require_same(row, one)


def exit_records() -> st.SearchStrategy[bytes]:
    """Any bits in the fields of an exit."""
    kinds = dict(ffi.typeof("struct kvmlog_record").fields)
    fields = {}
    for name in set(EXIT.names or ()) - {"type", "exit_ns", "guest", "isa", "source"}:
        bits = 8 * ffi.sizeof(kinds[name].type)
        least = -(1 << bits - 1) if EXIT[name].kind == "i" else 0
        fields[name] = st.integers(least, least + (1 << bits) - 1)
    # No clock shows more; other fields may have any bits.
    for name in ("total_ns", "user_ns", "halt_ns", "paused_ns"):
        fields[name] = st.integers(0, 1 << 62)
    fields["isa"] = st.integers(0, 4)
    fields["reason"] = st.sampled_from([0, 12, 28, 48, 0x78, 0x7B, 0x400, 1 << 31, 2**32 - 1])
    return st.fixed_dictionaries(fields).map(lambda found: exit_bytes(**found))


@settings(max_examples=30)
@given(st.lists(exit_records(), min_size=1, max_size=6))
def test_any_bits_are_decoded_as_dump_does(records: list[bytes]) -> None:
    """No combination of flags, reasons and details fails, or says anything else than dump."""
    clocks = Clocks([ClockPair(0, 10**18, 3_600)])
    view = GuestView(GuestList([recordings.guest(1)]))
    raw = b"".join(records)
    (batch,) = Batches(clocks, view, Selection(), "x").of([raw])
    found = [json.loads(line) for line in record_lines(unpack_records(raw), clocks, view, True)]
    for row, one in zip(batch.to_pylist(), found, strict=True):
        require_same(row, one)


@pytest.mark.parametrize("isa", ["svm", "vmx"])
def test_sums_are_those_of_the_statistics(tmp_path: Path, isa: str) -> None:
    """Count, times, extremes and who spent them, of each reason, halts and nested exits apart."""
    path = exported.made(tmp_path / "r", 5_000, isa)
    sums: dict[tuple[Any, ...], list[int]] = {}
    names = ("total_ns", "kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
    for row in rows_of(path):
        if row["type"] != "exit":
            continue
        assert row["total_ns"] == sum(row[name] for name in names[1:])
        key = (row["reason_name"], row["halt"], row["nested"], row["handled_by"])
        have = sums.setdefault(key, [0] * (1 + len(names)))
        sums[key] = [have[0] + 1, *(a + row[name] for a, name in zip(have[1:], names, strict=True))]
    expected = exported.rows_by_reason(path)
    assert len(sums) > 10
    assert sums == {
        key: [row.count, *(getattr(row, name) for name in names)] for key, row in expected.items()
    }


def test_a_number_given_again_is_another_guest(tmp_path: Path) -> None:
    """The time at which an exit was written says whose it is."""
    begin = recordings.STARTED_NS
    guests = [
        recordings.guest(1, "first", numbers=((1, begin),)),
        recordings.guest(2, "second", numbers=((1, begin + 10**10),)),
    ]
    raw = b"".join(exit_bytes(exit_ns=begin + at * 10**9, total_ns=10) for at in (1, 5, 12, 20))
    rows = rows_of(recordings.write(tmp_path / "r", raw, guests=guests))
    names = [row["guest_name"] for row in rows if row["type"] == "exit"]
    assert names == ["first", "first", "second", "second"]


def test_an_announcement_stands_before_its_exits() -> None:
    """Even where another vCPU's exit is a hair earlier."""
    raw = exit_bytes(exit_ns=9, guest=2) + guest_bytes(b"q", ns=10, guest=1)
    raw += exit_bytes(exit_ns=8, guest=1) + exit_bytes(exit_ns=7, guest=3)
    assert in_time_order(raw)["guest"].tolist() == [3, 1, 1, 2]


@pytest.mark.parametrize("sizes", [[1], [3, 4, 5], [10, 1], [2, 2, 2], []])
def test_pieces_have_all_records_in_order(sizes: list[int]) -> None:
    """Whatever the sizes of blocks are."""
    raw = np.arange(sum(sizes) * RECORD_BYTES, dtype="u8").astype("u1").tobytes()
    blocks, at = [], 0
    for size in sizes:
        blocks.append(raw[at : at + size * RECORD_BYTES])
        at += size * RECORD_BYTES
    found = list(gathered(blocks, 4))
    assert b"".join(found) == raw
    assert [len(one) for one in found[:-1]] == [4 * RECORD_BYTES] * (len(found) - 1)


def test_only_columns_that_may_be_null_are() -> None:
    """The schema is the one that docs/export.md describes."""
    assert {field.name: field.nullable for field in SCHEMA} == {f.name: f.nullable for f in FIELDS}


def test_the_documentation_has_the_columns() -> None:
    """docs/export.md shows the table that kvmlog.analysis.records.reference prints."""
    page = Path(__file__).resolve().parents[3] / "docs" / "export.md"
    assert table() in page.read_text(encoding="utf-8")
