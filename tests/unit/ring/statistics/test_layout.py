# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout of the statistics file, in literal numbers: a change here is a change of format.

Written out, not computed, on purpose.
"""

from __future__ import annotations

import pytest

from kvmlog.native import ffi, lib

STRUCTS: dict[str, tuple[int, dict[str, int]]] = {
    "key": (
        24,
        {
            "guest": 0,
            "reason": 4,
            "detail": 8,
            "vcpu": 16,
            "user_reason": 18,
            "kind": 20,
            "isa": 21,
            "flags": 22,
            "detail_kind": 23,
        },
    ),
    "sums": (
        72,
        {
            "count": 0,
            "total_ns": 8,
            "min_ns": 16,
            "max_ns": 24,
            "kvm_ns": 32,
            "vmm_ns": 40,
            "wait_ns": 48,
            "idle_ns": 56,
            "paused_ns": 64,
        },
    ),
    "reason": (256, {"sequence": 0, "blocks": 4, "key": 152, "sums": 176, "evicted_ns": 248}),
    "block": (256, {"counts": 0}),
    "row": (
        408,
        {"sequence": 0, "turn": 4, "key": 8, "sums": 32, "before_ns": 104, "octaves": 112},
    ),
    "guest": (
        128,
        {
            "sequence": 0,
            "state": 4,
            "number": 8,
            "tgid": 12,
            "start_boottime_ns": 16,
            "cgroup": 24,
            "comm": 32,
            "first_ns": 48,
            "last_ns": 56,
            "exits": 64,
            "isa": 72,
            "source": 73,
            "turn": 80,
        },
    ),
    "header": (
        264,
        {
            "magic": 0,
            "format_version": 8,
            "schema_version": 12,
            "incompat_flags": 16,
            "state": 20,
            "file_bytes": 24,
            "guests_offset": 32,
            "reasons_offset": 40,
            "blocks_offset": 48,
            "rows_offset": 56,
            "guests_capacity": 64,
            "reasons_capacity": 68,
            "blocks_capacity": 72,
            "rows_capacity": 76,
            "statistics_id": 80,
            "boot_id": 96,
            "generation": 112,
            "sequence": 120,
            "since_realtime_ns": 128,
            "since_ns": 136,
            "folded_ns": 144,
            "exits": 152,
            "overflow": 160,
            "overflow_ns": 168,
            "overflow_row": 176,
            "overflow_block": 184,
            "forgotten": 192,
            "forgotten_ns": 200,
            "guests_forgotten": 208,
            "guests_used": 216,
            "reasons_used": 220,
            "blocks_used": 224,
            "rows_used": 228,
            "reasons_free": 232,
            "blocks_free": 240,
            "rows_free": 248,
            "guests_free": 256,
        },
    ),
}

CONSTANTS = {
    "KVMLOG_STATISTICS_FORMAT_VERSION": 2,
    "KVMLOG_STATISTICS_HEADER_BYTES": 4096,
    "KVMLOG_STATISTICS_DEFAULT_MIB": 64,
    "KVMLOG_STATISTICS_MIN_MIB": 1,
    "KVMLOG_STATISTICS_MAX_MIB": 4096,
    "KVMLOG_STATISTICS_DETAILS": 256,
    "KVMLOG_STATISTICS_LATE_MS": 500,
    "KVMLOG_STATISTICS_FOLD_MS": 1000,
    "KVMLOG_HISTOGRAM_STEPS": 32,
    "KVMLOG_HISTOGRAM_OCTAVES": 37,
    "KVMLOG_NO_BLOCK": 0,
    "KVMLOG_STATISTICS_RUNNING": 1,
    "KVMLOG_STATISTICS_STOPPED": 2,
    "KVMLOG_STATISTICS_REPLACED": 3,
    "KVMLOG_STATISTICS_FREE": 0,
    "KVMLOG_STATISTICS_REASON": 1,
    "KVMLOG_STATISTICS_VCPU": 2,
    "KVMLOG_STATISTICS_DETAIL": 3,
    "KVMLOG_STATISTICS_RETURN": 4,
    "KVMLOG_STATISTICS_NESTED": 1,
    "KVMLOG_STATISTICS_HALT": 2,
    "KVMLOG_STATISTICS_DETAIL_NONE": 0,
    "KVMLOG_STATISTICS_DETAIL_EXACT": 1,
    "KVMLOG_STATISTICS_DETAIL_REGION": 2,
    "KVMLOG_STATISTICS_DETAIL_OTHER": 3,
    "KVMLOG_STATISTICS_DETAIL_DEVICE": 4,
    "KVMLOG_STATISTICS_GUEST_FREE": 0,
    "KVMLOG_STATISTICS_GUEST_UNKNOWN": 1,
    "KVMLOG_STATISTICS_GUEST_KNOWN": 2,
    "KVMLOG_NO_RETURN": 65535,
}

# By the size of the file in MiB: capacities of guests, reasons, blocks and rows.
CAPACITIES = {
    1: (32, 508, 1524, 1274),
    64: (2048, 32638, 97914, 81914),
    4096: (131072, 2088958, 6266874, 5242874),
}
PARTS = ("guest", "reason", "block", "row")


@pytest.mark.parametrize("name", STRUCTS)
def test_every_field_stands_where_the_format_says(name: str) -> None:
    """Size and all offsets, and no field that is missing from the list above."""
    fields = ffi.typeof(f"struct kvmlog_statistics_{name}").fields
    found = {field: info.offset for field, info in fields if not field.startswith("reserved")}
    assert (ffi.sizeof(f"struct kvmlog_statistics_{name}"), found) == STRUCTS[name]


def test_the_constants_have_their_numbers() -> None:
    """The numbers that stand in files."""
    assert {name: getattr(lib, name) for name in CONSTANTS} == CONSTANTS


@pytest.mark.parametrize("mib", CAPACITIES)
def test_a_file_of_a_size_is_divided_as_ever(mib: int) -> None:
    """Readers and writers derive the parts from the size; they follow each other and fit."""
    header = ffi.new("struct kvmlog_statistics_header *")
    assert lib.kvmlog_statistics_layout(mib << 20, header) == 0
    assert tuple(getattr(header, f"{part}s_capacity") for part in PARTS) == CAPACITIES[mib]
    end = 4096
    for part in PARTS:
        assert getattr(header, f"{part}s_offset") == end
        end += getattr(header, f"{part}s_capacity") * STRUCTS[part][0]
    assert end <= mib << 20
