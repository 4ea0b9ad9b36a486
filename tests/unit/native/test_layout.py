# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout of every format, in literal numbers: a change here is a change of format.

include/kvmlog/layout.h pins the same in C. Written out, not computed, on purpose.
"""

from __future__ import annotations

import pytest

from kvmlog.native import ffi, lib

SHARED = {"type": 0, "isa": 1, "source": 2, "flags": 4}
SHARED_END = {"config_epoch": 56, "tid": 68, "guest": 104, "vcpu": 108, "cpu": 110}

STRUCTS: dict[str, tuple[int, dict[str, int]]] = {
    "kvmlog_record": (
        112,
        {
            "user_exits": 6,
            "exit_ns": 8,
            "total_ns": 16,
            "user_ns": 24,
            "halt_ns": 32,
            "paused_ns": 40,
            "delay_kernel_us": 48,
            "delay_user_us": 52,
            "reason": 60,
            "user_reason": 64,
            "user_errno": 66,
            "rip": 72,
            "info1": 80,
            "info2": 88,
            "detail": 96,
            **SHARED,
            **SHARED_END,
        },
    ),
    "kvmlog_record_guest": (
        112,
        {
            "ns": 8,
            "start_boottime_ns": 16,
            "cgroup": 24,
            "comm": 32,
            "tgid": 60,
            **SHARED,
            **SHARED_END,
        },
    ),
    "kvmlog_record_loss": (
        112,
        {"ns": 8, "lost": 16, "cause": 24, "total": 32, **SHARED, **SHARED_END},
    ),
    "kvmlog_record_switch": (
        112,
        {
            "ns": 8,
            "on": 16,
            "cause": 20,
            "one_in": 24,
            "on_ms": 28,
            "off_ms": 32,
            "filter_tgids": 36,
            **SHARED,
            **SHARED_END,
        },
    ),
    "kvmlog_record_clock": (
        112,
        {
            "ns": 8,
            "event": 16,
            "delta_ns": 24,
            "realtime_ns": 32,
            "boottime_ns": 40,
            **SHARED,
            **SHARED_END,
        },
    ),
    "kvmlog_record_cpu": (112, {"ns": 8, "online": 16, **SHARED, **SHARED_END}),
    "kvmlog_counters": (
        64,
        {
            "seen": 0,
            "emitted": 8,
            "filtered": 16,
            "sampled": 24,
            "dropped": 32,
            "pending": 40,
            "dropped_table": 48,
            "notes": 56,
        },
    ),
    "kvmlog_batch": (
        32,
        {
            "cpu": 0,
            "count": 4,
            "exits": 6,
            "sequence": 8,
            "dropped": 16,
            "config_epoch": 24,
            "record_bytes": 28,
        },
    ),
    "kvmlog_ring_header": (
        4096,
        {
            "magic": 0,
            "format_version": 8,
            "schema_version": 12,
            "compat_flags": 16,
            "incompat_flags": 20,
            "header_bytes": 24,
            "record_bytes": 28,
            "capacity": 32,
            "ring_id": 40,
            "statistics_id": 56,
            "boot_id": 72,
            "state": 88,
            "source": 92,
            "writer_pid": 96,
            "switched_on": 100,
            "writer_start_ticks": 104,
            "created_realtime_ns": 112,
            "info_sequence": 120,
            "monotonic_ns": 128,
            "realtime_ns": 136,
            "boottime_ns": 144,
            "utc_offset_s": 152,
            "config_epoch": 156,
            "counters": 160,
            "lost_records": 224,
            "lost_messages": 232,
            "bad_messages": 240,
            "clock_count": 248,
            "exits": 256,
            "exits_head": 264,
            "reserve": 384,
            "head": 512,
            "clocks": 1024,
        },
    ),
    "kvmlog_recording_start": (
        32,
        {
            "magic": 0,
            "format_version": 8,
            "schema_version": 12,
            "compat_flags": 16,
            "incompat_flags": 20,
            "record_bytes": 24,
        },
    ),
    "kvmlog_recording_block": (
        56,
        {
            "magic": 0,
            "kind": 4,
            "stored_bytes": 8,
            "plain_bytes": 12,
            "records": 16,
            "content_crc": 20,
            "first_ns": 24,
            "last_ns": 32,
            "lost_records": 40,
            "header_crc": 52,
        },
    ),
    "kvmlog_clock_pair": (
        24,
        {"from_ns": 0, "realtime_offset_ns": 8, "utc_offset_s": 16},
    ),
}

CONSTANTS = {
    "KVMLOG_SCHEMA_VERSION": 2,
    "KVMLOG_RECORD_BYTES": 112,
    "KVMLOG_RECORD_EXIT": 1,
    "KVMLOG_RECORD_LOSS": 2,
    "KVMLOG_RECORD_GUEST": 3,
    "KVMLOG_RECORD_SWITCH": 4,
    "KVMLOG_RECORD_CLOCK": 5,
    "KVMLOG_RECORD_CPU": 6,
    "KVMLOG_F_DELAY_VALID": 1024,
    "KVMLOG_NO_CPU": 65535,
    "KVMLOG_NO_VCPU": 65535,
    "KVMLOG_GENL_VERSION": 1,
    "KVMLOG_BATCH_OFFSET": 64,
    "KVMLOG_BATCH_RECORDS": 292,
    "KVMLOG_MESSAGE_BYTES": 32768,
    "KVMLOG_CMD_BATCH": 5,
    "KVMLOG_A_BATCH": 21,
    "KVMLOG_A_PAD": 22,
    "KVMLOG_A_RECORDS": 23,
    "KVMLOG_RING_FORMAT_VERSION": 1,
    "KVMLOG_RING_HEADER_BYTES": 4096,
    "KVMLOG_RING_CLOCKS": 128,
    "KVMLOG_RING_RUNNING": 1,
    "KVMLOG_RING_STOPPED": 2,
    "KVMLOG_RING_REPLACED": 3,
    "KVMLOG_RECORDING_FORMAT_VERSION": 1,
    "KVMLOG_RECORDING_BLOCK_RECORDS": 16384,
    "KVMLOG_RECORDING_PLANES": 112,
    "KVMLOG_RECORDING_HEADER": 1,
    "KVMLOG_RECORDING_GUESTS": 2,
    "KVMLOG_RECORDING_CLOCKS": 3,
    "KVMLOG_RECORDING_RECORDS": 4,
    "KVMLOG_RECORDING_END": 5,
}


@pytest.mark.parametrize("name", STRUCTS)
def test_every_field_stands_where_the_format_says(name: str) -> None:
    """Size and all offsets, and no field that is missing from the list above."""
    size, offsets = STRUCTS[name]
    fields = ffi.typeof(f"struct {name}").fields
    found = {field: info.offset for field, info in fields if not field.startswith("reserved")}
    assert ffi.sizeof(f"struct {name}") == size
    assert found == offsets


def test_the_constants_have_their_numbers() -> None:
    """The numbers that stand in files and messages."""
    assert {name: getattr(lib, name) for name in CONSTANTS} == CONSTANTS


def test_the_list_above_is_complete() -> None:
    """Every struct of the headers is pinned."""
    structs = ffi.list_types()[1]
    formats = {
        name
        for name in structs
        if name.startswith(
            ("kvmlog_record", "kvmlog_batch", "kvmlog_ring_h", "kvmlog_counters", "kvmlog_clock_p")
        )
    }
    assert formats == set(STRUCTS)
