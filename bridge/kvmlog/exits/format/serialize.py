# SPDX-License-Identifier: GPL-2.0-or-later
"""Records as JSON-ready objects: every number as recorded, with its name beside it.

Keys are the field names of include/uapi/kvmlog/record.h. Added: `time` (ISO 8601, local, to the
ns, with the zone's offset), `wall_ns` (CLOCK_REALTIME), and for each code its name; of a detail
`detail_name` and `detail_note` where they exist, and the CPU's information on the exit as
`info_words` and, by its parts, `info_facts` (qualification.decode).
A field whose flag is clear is left out, so that a zero is always a measured zero; so
are reason and times of a record that lacks them (reasons.lacks_reason).
"""

from __future__ import annotations

from typing import Any, Final

from kvmlog.exits.decode import detail, qualification
from kvmlog.exits.format import notes
from kvmlog.exits.reasons.names import (
    is_mmio,
    is_nested,
    isa_name,
    lacks_reason,
    reason_flags,
    reason_name,
    user_reason_name,
)
from kvmlog.guests.names import Guest
from kvmlog.native import lib
from kvmlog.ring.records import (
    NO_CPU,
    NO_VCPU,
    AnyRecord,
    ClockRecord,
    GuestRecord,
    LossRecord,
    Record,
    SwitchRecord,
    UnknownRecord,
    enum_names,
)
from kvmlog.util import units

_SOURCES: Final = enum_names("kvmlog_source", "KVMLOG_SOURCE_")
_TYPES: Final = enum_names("kvmlog_record_type", "KVMLOG_RECORD_")
_FLAG_NAMES: Final = sorted(enum_names("kvmlog_flag", "KVMLOG_F_").items())

# Fields that are no amount, in which every bit counts.
_BITS: Final = ("rip", "info1", "info2", "detail")
# Fields of an exit that mean something only under a flag.
_GUARDED: Final[dict[str, int]] = {
    "rip": lib.KVMLOG_F_RIP_VALID,
    "info1": lib.KVMLOG_F_INFO_VALID,
    "info2": lib.KVMLOG_F_INFO_VALID,
    "detail": lib.KVMLOG_F_DETAIL_VALID,
    "user_reason": lib.KVMLOG_F_USER_REASON,
    "user_errno": lib.KVMLOG_F_USER_REASON,
    "delay_kernel_us": lib.KVMLOG_F_DELAY_VALID,
    "delay_user_us": lib.KVMLOG_F_DELAY_VALID,
}
# Fields that a record without a reason does not have.
_OF_EXITS: Final[frozenset[str]] = frozenset(
    ("reason", "total_ns", "user_ns", "halt_ns", "paused_ns")
)


def record_object(
    record: AnyRecord, wall_ns: int, utc_offset_s: int, guest: Guest | None = None
) -> dict[str, Any]:
    """Return a dict of numbers and names for a record of any type.

    wall_ns, utc_offset_s: as for lines.format_record. Integers are up to 64 bits.
    guest: the guest of the record, where it is known: `guest_name`, `guest_uuid`, `guest_pid`,
    and `guest_running`, whether it has not ended since.
    """
    out: dict[str, Any] = {
        "time": units.iso_time(wall_ns, utc_offset_s),
        "wall_ns": wall_ns,
        "type_name": _TYPES.get(record.type, str(record.type)),
    }
    if isinstance(record, Record):
        fields = record._asdict()
        out |= {name: fields[name] for name in fields if _is_valid(name, record)}
        out |= _exit_names(record)
    else:
        out |= record._asdict() | _note_names(record, guest)
    if guest is not None:
        out |= {"guest_name": guest.name, "guest_uuid": guest.uuid, "guest_pid": guest.pid}
        out["guest_running"] = guest.ended_realtime_ns is None
    out["source_name"] = _SOURCES.get(record.source, str(record.source))
    if out["vcpu"] == NO_VCPU:
        out["vcpu"] = None
    if out["cpu"] == NO_CPU:
        out["cpu"] = None
    return out


def json_object(
    record: AnyRecord, wall_ns: int, utc_offset_s: int, guest: Guest | None = None
) -> dict[str, Any]:
    """Return record_object() for JSON: addresses and words of bits in hexadecimal as well.

    jq, browsers and whatever else reads JSON's numbers as doubles keep 53 bits of them.
    """
    out = record_object(record, wall_ns, utc_offset_s, guest)
    return out | {f"{name}_hex": hex(out[name]) for name in _BITS if name in out}


def _is_valid(field: str, record: Record) -> bool:
    if field in _OF_EXITS:
        return not lacks_reason(record)
    guard = _GUARDED.get(field)
    return guard is None or bool(record.flags & guard)


def _exit_names(record: Record) -> dict[str, Any]:
    names: dict[str, Any] = {
        "isa_name": isa_name(record.isa),
        "flag_names": [name for value, name in _FLAG_NAMES if record.flags & value],
    }
    if not lacks_reason(record):
        names["reason_name"] = reason_name(record.isa, record.reason)
        names["reason_flags"] = reason_flags(record.isa, record.reason)
    if record.flags & lib.KVMLOG_F_DETAIL_VALID:
        names |= _detail_names(record)
    if record.flags & lib.KVMLOG_F_INFO_VALID:
        info = qualification.decode(record.isa, record.reason, record.info1, record.info2)
        if info.facts:
            names["info_words"] = info.words
            names["info_facts"] = info.facts
    if record.flags & lib.KVMLOG_F_USER_REASON:
        names["user_reason_name"] = user_reason_name(record.user_reason)
    return names


def _detail_names(record: Record) -> dict[str, Any]:
    key = (record.isa, record.reason, record.detail)
    info1 = record.info1 if record.flags & lib.KVMLOG_F_INFO_VALID else None
    whose = {"is_device": is_mmio(record), "is_nested": is_nested(record)}
    names = {
        "detail_kind": detail.detail_kind_name(detail.detail_kind(record.isa, record.reason)),
        "detail_words": detail.detail_words(*key, info1, **whose),
        "detail_name": detail.detail_name(*key, **whose),
        "detail_note": detail.detail_note(*key, is_nested=is_nested(record)),
    }
    return {name: words for name, words in names.items() if words is not None}


def _note_names(note: AnyRecord, guest: Guest | None) -> dict[str, Any]:
    names: dict[str, Any] = {"words": notes.note_words(note, guest)}
    if isinstance(note, GuestRecord):
        names["comm"] = notes.comm(note)
    elif isinstance(note, LossRecord | SwitchRecord):
        names["cause_name"] = notes.cause_name(note)
    elif isinstance(note, ClockRecord):
        names["event_name"] = notes.event_name(note)
    elif isinstance(note, UnknownRecord):
        names["raw"] = note.raw.hex()
    return names
