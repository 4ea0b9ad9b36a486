# SPDX-License-Identifier: GPL-2.0-or-later
"""What the numbers of records are called: for each distinct one, a text."""

from __future__ import annotations

from typing import Final

from kvmlog.exits.decode import detail, qualification
from kvmlog.exits.reasons.names import (
    isa_name,
    reason_flags,
    reason_name,
    user_reason_name,
)
from kvmlog.native import lib
from kvmlog.ring.records import enum_names

_TYPES: Final = enum_names("kvmlog_record_type", "KVMLOG_RECORD_")
_SOURCES: Final = enum_names("kvmlog_source", "KVMLOG_SOURCE_")
_FLAGS: Final = sorted(enum_names("kvmlog_flag", "KVMLOG_F_").items())


def type_text(kind: int) -> str:
    """Return "exit"; a number for a type unknown to this version."""
    return _TYPES.get(kind, str(kind))


def isa_text(isa: int) -> str:
    """Return "svm"."""
    return isa_name(isa)


def source_text(source: int) -> str:
    """Return "kmod"."""
    return _SOURCES.get(source, str(source))


def reason_text(isa: int, reason: int) -> str:
    """Return "npf"."""
    return reason_name(isa, reason)


def reason_flags_text(isa: int, reason: int) -> str | None:
    """Return a VMX reason's flags, None where it has none."""
    return ", ".join(reason_flags(isa, reason)) or None


def kind_text(isa: int, reason: int) -> str:
    """Return "port"."""
    return detail.detail_kind_name(detail.detail_kind(isa, reason))


def detail_text(
    isa: int, reason: int, value: int, info1: int, has_info: int, is_device: int, is_nested: int
) -> str:
    """Return "port 0x3f8 (com1)"; info1: 0 where only has_info, of VMX, would look at it."""
    return detail.detail_words(
        *(isa, reason, value, info1 if has_info else None),
        is_device=bool(is_device),
        is_nested=bool(is_nested),
    )


def user_reason_text(number: int) -> str:
    """Return "KVM_EXIT_IO"."""
    return user_reason_name(number)


def flags_text(flags: int) -> str | None:
    """Return the names of flags by blanks, None for no flag."""
    return " ".join(name for value, name in _FLAGS if flags & value) or None


def info_text(isa: int, reason: int, info1: int, info2: int) -> str | None:
    """Return what the CPU said of the exit, in words; None where it said nothing known."""
    return qualification.decode(isa, reason, info1, info2).words or None


def handler_text(flags: int) -> str | None:
    """Return who handled an exit of a nested guest: "l0", "l1"; None where it is not known."""
    if flags & lib.KVMLOG_STATISTICS_L0:
        return "l0"
    return "l1" if flags & lib.KVMLOG_STATISTICS_L1 else None
