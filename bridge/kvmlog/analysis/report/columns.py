# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits as columns: numpy's view of records, and the few fields that the time line keeps."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from kvmlog.exits.reasons import userspace
from kvmlog.native import ffi, lib
from kvmlog.ring.records import RECORD_BYTES
from kvmlog.ring.statistics.reader import NO_RETURN

Array: TypeAlias = npt.NDArray[Any]

_CODES: Final = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}
_RETURNS: Final = {name: number for number, name in userspace.NAMES.items()}
_HLT: Final = _RETURNS["KVM_EXIT_HLT"]
_INTR: Final = _RETURNS["KVM_EXIT_INTR"]


def _record_type() -> np.dtype[Any]:
    """Return struct kvmlog_record as a dtype; user_errno, which is signed, as it lies in memory."""
    known = [
        (name, field)
        for name, field in ffi.typeof("struct kvmlog_record").fields
        if not name.startswith("reserved")
    ]
    return np.dtype(
        {
            "names": [name for name, _ in known],
            "formats": [_CODES[ffi.sizeof(field.type)] for _, field in known],
            "offsets": [field.offset for _, field in known],
            "itemsize": RECORD_BYTES,
        }
    )


RECORD: Final = _record_type()

# An exit of the time line; times in ns. code: number of what it was (codes.Codes); vmm: the part
# of it in the VMM, in percent; track: number of its guest and vCPU.
EXIT: Final = np.dtype(
    [
        ("exit_ns", "u8"),
        ("total_ns", "u8"),
        ("code", "u4"),
        ("track", "u4"),
        ("cpu", "u2"),
        ("vmm", "u1"),
        ("halt", "u1"),
    ]
)


def records_of(block: bytes) -> Array:
    """Return a block of whole records as an array of RECORD, without a copy."""
    return np.frombuffer(block, dtype=RECORD)


def exits_of(records: Array) -> Array:
    """Return the records of exits; a copy where there are others among them."""
    is_exit = records["type"] == lib.KVMLOG_RECORD_EXIT
    return records if is_exit.all() else records[is_exit]


def basic_reasons(exits: Array) -> Array:
    """Return the reasons without VMX's flags (reasons.names.basic_reason)."""
    reasons: Array = exits["reason"]
    is_vmx = exits["isa"] == lib.KVMLOG_ISA_VMX
    return np.where(is_vmx, reasons & np.uint32(lib.KVMLOG_VMX_BASIC_MASK), reasons)


def returns(exits: Array) -> Array:
    """Return KVM_EXIT_* of each exit, NO_RETURN where there was none, as statistics count them."""
    flags = exits["flags"]
    returned = (flags & lib.KVMLOG_F_USER_REASON) != 0
    interrupted = (flags & lib.KVMLOG_F_USER_EINTR) != 0
    without = np.where(interrupted, np.uint16(_INTR), np.uint16(NO_RETURN))
    return np.where(returned, exits["user_reason"], without)


_HALT_REASONS: Final = {
    lib.KVMLOG_ISA_VMX: (lib.KVMLOG_VMX_HLT,),
    lib.KVMLOG_ISA_SVM: (lib.KVMLOG_SVM_HLT, lib.KVMLOG_SVM_IDLE_HLT),
    lib.KVMLOG_ISA_ARM64: (lib.KVMLOG_ARM64_WFX,),
}


def halts(exits: Array) -> Array:
    """Return which exits halted: the rule of bridge/native/statistics/kinds.c."""
    flags, isa, reasons = exits["flags"], exits["isa"], basic_reasons(exits)
    by_reason = np.zeros(len(exits), dtype=bool)
    for number, halting in _HALT_REASONS.items():
        by_reason |= (isa == number) & np.isin(reasons, halting)
    by_reason &= (flags & lib.KVMLOG_F_NESTED_L1) == 0
    slept = (flags & lib.KVMLOG_F_HALT_SLEPT) != 0
    found: Array = slept | by_reason | (returns(exits) == _HLT)
    return found


def vmm_percent(exits: Array) -> Array:
    """Return the part of each exit's time that the VMM took, without pauses, in percent."""
    total = exits["total_ns"]
    user = np.minimum(exits["user_ns"], total)
    worked = user - np.minimum(exits["paused_ns"], user)
    share = worked.astype("f8") * 100 / np.maximum(total, 1)
    found: Array = np.rint(share).astype("u1")
    return found


def ends_ns(exits: Array) -> Array:
    """Return when each exit ended, CLOCK_MONOTONIC ns; damaged times do not wrap."""
    begun = exits["exit_ns"]
    found: Array = begun + np.minimum(exits["total_ns"], ~begun)
    return found
