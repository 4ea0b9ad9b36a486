# SPDX-License-Identifier: GPL-2.0-or-later
"""The record types, and how to decode them.

All layouts and constants come from include/uapi/kvmlog through the cffi extension: `lib.KVMLOG_*`
and `ffi.typeof("enum kvmlog_...")`. The fields below have the names, units and meanings of their
C struct in record.h; padding (`reserved*`) is left out. A field that C adds and this file does
not know, or the other way round, fails at import.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from kvmlog.native import ffi, lib

Bytes: TypeAlias = bytes | bytearray | memoryview

RECORD_BYTES: Final[int] = lib.KVMLOG_RECORD_BYTES
SCHEMA_VERSION: Final[int] = lib.KVMLOG_SCHEMA_VERSION
NO_CPU: Final[int] = lib.KVMLOG_NO_CPU
NO_VCPU: Final[int] = lib.KVMLOG_NO_VCPU
GENL_NAME: Final[str] = ffi.string(lib.kvmlog_text_KVMLOG_GENL_NAME).decode("ascii")


class Record(NamedTuple):
    """struct kvmlog_record: one exit; all times in ns (CLOCK_MONOTONIC) or us as named."""

    type: int
    isa: int
    source: int
    flags: int
    user_exits: int
    exit_ns: int
    total_ns: int
    user_ns: int
    halt_ns: int
    paused_ns: int
    delay_kernel_us: int
    delay_user_us: int
    config_epoch: int
    reason: int
    user_reason: int
    user_errno: int
    tid: int
    rip: int
    info1: int
    info2: int
    detail: int
    guest: int
    vcpu: int
    cpu: int

    @property
    def ns(self) -> int:
        """Time of the record, under the name that it has in the other types."""
        return self.exit_ns

    @property
    def vmm_ns(self) -> int:
        """Time that the VMM took (ns): outside the kernel, less the pauses after -EINTR."""
        return max(0, self.user_ns - self.paused_ns)


class GuestRecord(NamedTuple):
    """struct kvmlog_record_guest: a guest seen for the first time; `comm` is raw, NUL-padded."""

    type: int
    isa: int
    source: int
    flags: int
    ns: int
    start_boottime_ns: int
    cgroup: int
    comm: bytes
    config_epoch: int
    tgid: int
    tid: int
    guest: int
    vcpu: int
    cpu: int


class LossRecord(NamedTuple):
    """struct kvmlog_record_loss: `lost` records (or messages) are missing here."""

    type: int
    isa: int
    source: int
    flags: int
    ns: int
    lost: int
    cause: int
    total: int
    config_epoch: int
    tid: int
    guest: int
    vcpu: int
    cpu: int


class SwitchRecord(NamedTuple):
    """struct kvmlog_record_switch: tracing was switched or reconfigured."""

    type: int
    isa: int
    source: int
    flags: int
    ns: int
    on: int
    cause: int
    one_in: int
    on_ms: int
    off_ms: int
    filter_tgids: int
    config_epoch: int
    tid: int
    guest: int
    vcpu: int
    cpu: int


class ClockRecord(NamedTuple):
    """struct kvmlog_record_clock: the other clocks at `ns`."""

    type: int
    isa: int
    source: int
    flags: int
    ns: int
    event: int
    delta_ns: int
    realtime_ns: int
    boottime_ns: int
    config_epoch: int
    tid: int
    guest: int
    vcpu: int
    cpu: int


class CpuRecord(NamedTuple):
    """struct kvmlog_record_cpu: a host CPU came online or went offline."""

    type: int
    isa: int
    source: int
    flags: int
    ns: int
    online: int
    config_epoch: int
    tid: int
    guest: int
    vcpu: int
    cpu: int


class UnknownRecord(NamedTuple):
    """A record of a type unknown to this version: the fields of all types, and its bytes."""

    type: int
    isa: int
    source: int
    flags: int
    ns: int
    config_epoch: int
    tid: int
    guest: int
    vcpu: int
    cpu: int
    raw: bytes


AnyRecord: TypeAlias = (
    Record | GuestRecord | LossRecord | SwitchRecord | ClockRecord | CpuRecord | UnknownRecord
)

_CODES = {
    "unsigned char": "B",
    "signed char": "b",
    "unsigned short": "H",
    "short": "h",
    "unsigned int": "I",
    "int": "i",
    "unsigned long long": "Q",
    "long long": "q",
}


def _unpacker(c_struct: str, fields: tuple[str, ...]) -> struct.Struct:
    """Return a struct.Struct for the named fields of a C struct, in C's order, without padding."""
    kind = ffi.typeof(f"struct {c_struct}")
    known = [(name, field) for name, field in kind.fields if not name.startswith("reserved")]
    if tuple(name for name, _ in known) != fields:
        raise ImportError(f"records.py and struct {c_struct} differ: {known} against {fields}")
    code, at = "=", 0
    for _, field in known:
        code += "x" * (field.offset - at)
        size = ffi.sizeof(field.type)
        code += f"{size}s" if field.type.kind == "array" else _CODES[field.type.cname]
        at = field.offset + size
    return struct.Struct(code + "x" * (ffi.sizeof(kind) - at))


_EXIT = _unpacker("kvmlog_record", Record._fields)
_OTHERS: dict[int, tuple[type[Any], struct.Struct]] = {
    lib.KVMLOG_RECORD_LOSS: (LossRecord, _unpacker("kvmlog_record_loss", LossRecord._fields)),
    lib.KVMLOG_RECORD_GUEST: (GuestRecord, _unpacker("kvmlog_record_guest", GuestRecord._fields)),
    lib.KVMLOG_RECORD_SWITCH: (
        SwitchRecord,
        _unpacker("kvmlog_record_switch", SwitchRecord._fields),
    ),
    lib.KVMLOG_RECORD_CLOCK: (ClockRecord, _unpacker("kvmlog_record_clock", ClockRecord._fields)),
    lib.KVMLOG_RECORD_CPU: (CpuRecord, _unpacker("kvmlog_record_cpu", CpuRecord._fields)),
}
_CPU_UNPACK = _OTHERS[lib.KVMLOG_RECORD_CPU][1]


def decode_record(records: Bytes, index: int = 0) -> AnyRecord:
    """Decode record number `index` of a buffer of whole records, as the class of its type.

    struct.error when the buffer ends before it.
    """
    at = index * RECORD_BYTES
    kind = records[at] if 0 <= at < len(records) else lib.KVMLOG_RECORD_EXIT
    if kind == lib.KVMLOG_RECORD_EXIT:
        return Record._make(_EXIT.unpack_from(records, at))
    known = _OTHERS.get(kind)
    if known is None:
        shared = CpuRecord._make(_CPU_UNPACK.unpack_from(records, at))
        raw = bytes(records[at : at + RECORD_BYTES])
        return UnknownRecord(
            shared.type,
            shared.isa,
            shared.source,
            shared.flags,
            shared.ns,
            shared.config_epoch,
            shared.tid,
            shared.guest,
            shared.vcpu,
            shared.cpu,
            raw,
        )
    cls, unpacker = known
    record: AnyRecord = cls._make(unpacker.unpack_from(records, at))
    return record


def iter_records(records: Bytes) -> Iterator[AnyRecord]:
    """Yield all records of a buffer in order; ValueError when it holds a part of one."""
    if len(records) % RECORD_BYTES:
        raise ValueError(f"{len(records)} bytes are no whole number of {RECORD_BYTES}-byte records")
    for index in range(len(records) // RECORD_BYTES):
        yield decode_record(records, index)


def unpack_records(records: Bytes) -> list[AnyRecord]:
    """Return all records of a buffer as a list."""
    return list(iter_records(records))


def enum_names(enum: str, prefix: str) -> dict[int, str]:
    """Return the names of a C enum by number, in lower case, without `prefix`.

    {1: "exit", ...} for ("kvmlog_record_type", "KVMLOG_RECORD_").
    """
    elements = ffi.typeof(f"enum {enum}").elements
    return {number: name.removeprefix(prefix).lower() for number, name in elements.items()}
