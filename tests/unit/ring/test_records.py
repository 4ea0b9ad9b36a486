# SPDX-License-Identifier: GPL-2.0-or-later
"""Records decode into the class of their type, every field with its C value."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.native import ffi, lib
from kvmlog.ring.records import (
    RECORD_BYTES,
    ClockRecord,
    CpuRecord,
    GuestRecord,
    LossRecord,
    Record,
    SwitchRecord,
    UnknownRecord,
    decode_record,
    enum_names,
    iter_records,
    unpack_records,
)
from tests.support import records as make

CLASSES = {
    "kvmlog_record": (lib.KVMLOG_RECORD_EXIT, Record),
    "kvmlog_record_guest": (lib.KVMLOG_RECORD_GUEST, GuestRecord),
    "kvmlog_record_loss": (lib.KVMLOG_RECORD_LOSS, LossRecord),
    "kvmlog_record_switch": (lib.KVMLOG_RECORD_SWITCH, SwitchRecord),
    "kvmlog_record_clock": (lib.KVMLOG_RECORD_CLOCK, ClockRecord),
    "kvmlog_record_cpu": (lib.KVMLOG_RECORD_CPU, CpuRecord),
}


@pytest.mark.parametrize("name", CLASSES)
@given(raw=st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES))
def test_every_field_is_what_c_reads(name: str, raw: bytes) -> None:
    """Any bytes: the decoded fields equal those of the C struct over the same bytes."""
    number, cls = CLASSES[name]
    raw = bytes([number]) + raw[1:]
    record = decode_record(raw)
    assert type(record) is cls
    c_record = ffi.from_buffer(f"struct {name} *", raw)
    for field, value in record._asdict().items():
        expected = getattr(c_record, field)
        assert value == (bytes(expected) if field == "comm" else expected), field


def test_records_of_all_types_come_in_order() -> None:
    """iter_records over a mixed buffer, from bytes and from a memoryview."""
    records = b"".join(
        [make.exit_bytes(exit_ns=5), make.loss_bytes(lost=3), make.guest_bytes(b"qemu", tgid=7)]
    )
    kinds = [type(record) for record in iter_records(memoryview(records))]
    assert kinds == [Record, LossRecord, GuestRecord]
    assert [record.ns for record in unpack_records(records)] == [5, 0, 0]


def test_an_unknown_type_keeps_what_all_records_share_and_its_bytes() -> None:
    """A newer writer's record is shown, not refused."""
    raw = bytes([99]) + make.exit_bytes(exit_ns=5, guest=3, cpu=1, tid=9)[1:]
    record = decode_record(raw)
    assert isinstance(record, UnknownRecord)
    assert (record.type, record.ns, record.guest, record.cpu, record.tid) == (99, 5, 3, 1, 9)
    assert record.raw == raw


def test_a_part_of_a_record_is_refused() -> None:
    """A buffer that ends in mid-record is refused."""
    with pytest.raises(ValueError, match="no whole number"):
        unpack_records(bytes(103))
    with pytest.raises(struct.error):
        decode_record(make.exit_bytes(), 1)


def test_enum_names_come_from_the_header() -> None:
    """Names are in lower case, without the prefix."""
    names = enum_names("kvmlog_ring_state", "KVMLOG_RING_")
    assert names == {1: "running", 2: "stopped", 3: "replaced"}
