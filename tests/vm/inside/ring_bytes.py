# SPDX-License-Identifier: GPL-2.0-or-later
"""Quick readings of a ring's bytes: tens of thousands of records, in emulation."""

from __future__ import annotations

import struct
from collections import Counter

from kvmlog.native import ffi, lib
from kvmlog.ring.records import RECORD_BYTES, AnyRecord, SwitchRecord, decode_record

_EXIT = lib.KVMLOG_RECORD_EXIT
_EXIT_NS = ffi.offsetof("struct kvmlog_record", "exit_ns")
_REASON = ffi.offsetof("struct kvmlog_record", "reason")
# type, exit_ns, reason
_BRIEF = f"=B{_EXIT_NS - 1}xQ{_REASON - _EXIT_NS - 8}xI{RECORD_BYTES - _REASON - 4}x"


def exits(records: bytes) -> list[tuple[int, int]]:
    """(exit_ns, reason) of each EXIT, in order of arrival."""
    brief = struct.iter_unpack(_BRIEF, records)
    return [(ns, reason) for kind, ns, reason in brief if kind == _EXIT]


def reasons(records: bytes) -> Counter[int]:
    """Return the number of exits of each reason."""
    return Counter(reason for _, reason in exits(records))


def notes(records: bytes) -> list[AnyRecord]:
    """All records that are no exits, in order of arrival."""
    size = RECORD_BYTES
    starts = range(0, len(records), size)
    return [decode_record(records[at : at + size]) for at in starts if records[at] != _EXIT]


def switch_causes(records: bytes) -> list[tuple[int, int]]:
    """(on, cause) of each SWITCH, in order of arrival."""
    return [(note.on, note.cause) for note in notes(records) if isinstance(note, SwitchRecord)]
