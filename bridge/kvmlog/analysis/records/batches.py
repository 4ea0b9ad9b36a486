# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks of records as Arrow record batches with the columns of fields.FIELDS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from kvmlog.analysis.records import fields, names
from kvmlog.analysis.records.distinct import NONE, Decoder, Dictionary, ma, masked
from kvmlog.analysis.records.guests import GuestColumns
from kvmlog.analysis.records.structs import (
    Array,
    columns_of,
    figures_of,
    in_time_order,
    record_bytes,
)
from kvmlog.exits.format import notes
from kvmlog.exits.reasons import userspace
from kvmlog.exits.search import Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import Guest
from kvmlog.native import lib
from kvmlog.recording.pieces import gathered
from kvmlog.recording.reader import Recording
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.records import (
    NO_CPU,
    NO_VCPU,
    AnyRecord,
    ClockRecord,
    LossRecord,
    SwitchRecord,
    decode_record,
)

# Records of one batch, which are sorted by time: 56 MB of them.
BATCH_RECORDS: Final = 1 << 19

_KINDS: Final = {
    fields.TEXT: pa.dictionary(pa.int32(), pa.string()),
    fields.INT: pa.int64(),
    fields.SMALL: pa.int32(),
    fields.TRUTH: pa.bool_(),
    fields.TIME: pa.timestamp("us", tz="UTC"),
}
SCHEMA: Final = pa.schema(
    pa.field(one.name, _KINDS[one.kind], nullable=one.nullable) for one in fields.FIELDS
)
# Of VMX, whose detail alone does not say which way a register was moved.
_MOVES: Final = (lib.KVMLOG_VMX_CR_ACCESS, lib.KVMLOG_VMX_DR_ACCESS)


class Batches:
    """The records of a recording, by and by, as batches that share their dictionaries.

    view: who the guests are, and which are shown; it learns the announcements. identity: of the
    recording, a column.
    """

    def __init__(
        self, clocks: Clocks, view: GuestView, selection: Selection, identity: str
    ) -> None:
        self._view = view
        self._selection = selection
        self._guests = GuestColumns(view)
        self._columns = _Columns(clocks, identity)
        self._notes = _NoteColumns(view)

    def of(self, blocks: Iterable[bytes]) -> Iterator[Any]:
        """Yield a RecordBatch of SCHEMA per BATCH_RECORDS that are selected, without empty ones."""
        for records in gathered((self._selection.passed(one) for one in blocks), BATCH_RECORDS):
            exits = in_time_order(records)
            announced = np.flatnonzero(exits["type"] == lib.KVMLOG_RECORD_GUEST).tolist()
            self._view.learn(decode_record(record_bytes(exits, at)) for at in announced)
            yield self._batch(exits)

    def _batch(self, exits: Array) -> Any:
        numbers = self._guests.numbers(exits)
        found = self._columns.of(exits) | self._guests.columns(numbers)
        found |= self._notes.of(exits)
        return pa.RecordBatch.from_arrays([_array(found[f.name], f) for f in SCHEMA], schema=SCHEMA)


def batches_of(recording: Recording, view: GuestView, selection: Selection) -> Iterator[Any]:
    """Yield the records of a recording that are selected, as batches of SCHEMA."""
    batches = Batches(recording.clocks(), view, selection, identity_of(recording))
    yield from batches.of(recording.blocks())


def identity_of(recording: Recording) -> str:
    """Return 16 hex digits that no other recording has, and all exports of this one have."""
    header = recording.header
    begin = (header.started_monotonic_ns, header.started_realtime_ns)
    whose = f"{header.host} {header.boot_id} {header.source} {begin} {header.event}"
    return hashlib.sha256(whose.encode()).hexdigest()[:16]


class _Columns:
    """All columns but those of guests: arrays, masked where null, or Arrow dictionaries."""

    def __init__(self, clocks: Clocks, identity: str) -> None:
        self._clocks = clocks
        self._identity = Dictionary()
        self._identity.number(identity)
        self._types = Decoder(names.type_text)
        self._isas = Decoder(names.isa_text)
        self._sources = Decoder(names.source_text)
        self._reasons = Decoder(names.reason_text)
        self._reason_flags = Decoder(names.reason_flags_text)
        self._kinds = Decoder(names.kind_text)
        self._details = Decoder(names.detail_text)
        self._returns = Decoder(names.user_reason_text)
        self._flags = Decoder(names.flags_text)
        self._infos = Decoder(names.info_text)
        self._handlers = Decoder(names.handler_text)

    def of(self, records: Array) -> dict[str, Any]:
        """Return the columns of records of any type."""
        every = np.ones(len(records), bool)
        exits = columns_of(records)
        is_exit = exits["type"] == lib.KVMLOG_RECORD_EXIT
        return {
            **self._times(exits["exit_ns"]),
            "type": self._types.column([exits["type"]], every),
            "recording": self._identity.column(np.zeros(len(records), "i4")),
            "isa": self._isas.column([exits["isa"]], every),
            "source": self._sources.column([exits["source"]], every),
            "guest": exits["guest"],
            "vcpu": masked(exits["vcpu"], exits["vcpu"] != NO_VCPU),
            "cpu": masked(exits["cpu"], exits["cpu"] != NO_CPU),
            "tid": exits["tid"],
            "config_epoch": exits["config_epoch"],
            **self._exits(exits, _figures(records, is_exit), is_exit),
        }

    def _times(self, monotonic_ns: Array) -> dict[str, Any]:
        pairs = self._clocks.pairs
        begins = np.array([max(0, pair.from_ns) for pair in pairs], "u8")
        at = np.maximum(0, np.searchsorted(begins, monotonic_ns, "right") - 1)
        offsets = np.array([pair.realtime_offset_ns for pair in pairs], "i8")[at]
        wall_ns = monotonic_ns.astype("i8") + offsets
        return {
            "monotonic_ns": monotonic_ns,
            "wall_ns": wall_ns,
            "time": wall_ns // 1_000,
            "utc_offset_s": np.array([pair.utc_offset_s for pair in pairs], "i4")[at],
        }

    def _exits(
        self, exits: dict[str, Array], figures: dict[str, Array], is_exit: Array
    ) -> dict[str, Any]:
        """Return the columns that only exits have."""
        flags, isa, reason = exits["flags"], exits["isa"], exits["reason"]

        def flagged(flag: int) -> Array:
            found: Array = is_exit & ((flags & flag) != 0)
            return found

        # As kvmlog.exits.reasons.names.lacks_reason() has it.
        lacks = (isa == lib.KVMLOG_ISA_NONE) & (reason == 0) & (exits["total_ns"] == 0)
        timed = is_exit & ~lacks
        returned, informed = flagged(lib.KVMLOG_F_USER_REASON), flagged(lib.KVMLOG_F_INFO_VALID)
        detailed, waited = flagged(lib.KVMLOG_F_DETAIL_VALID), flagged(lib.KVMLOG_F_DELAY_VALID)
        split = ("kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
        why = [isa[timed], reason[timed]]
        info = [exits[name][informed] for name in ("isa", "reason", "info1", "info2")]
        return {
            "reason": masked(reason, timed),
            "reason_name": self._reasons.column(why, timed),
            "reason_flags": self._reason_flags.column(why, timed),
            "detail": masked(exits["detail"], detailed),
            **self._detail(exits, detailed),
            "user_reason": masked(exits["user_reason"], returned),
            "user_reason_name": self._returns.column([exits["user_reason"][returned]], returned),
            "user_errno": masked(exits["user_errno"], returned),
            "user_exits": masked(exits["user_exits"], is_exit),
            **{name: masked(exits[name], timed) for name in ("total_ns", "user_ns", "halt_ns")},
            **{name: masked(figures[name], timed) for name in split},
            "halt": masked((figures["flags"] & lib.KVMLOG_STATISTICS_HALT) != 0, timed),
            "nested": masked((figures["flags"] & lib.KVMLOG_STATISTICS_NESTED) != 0, is_exit),
            "handled_by": self._handlers.column([figures["flags"][is_exit]], is_exit),
            "delay_kernel_us": masked(exits["delay_kernel_us"], waited),
            "delay_user_us": masked(exits["delay_user_us"], waited),
            "flag_names": self._flags.column([flags[is_exit]], is_exit),
            "rip": masked(exits["rip"], flagged(lib.KVMLOG_F_RIP_VALID)),
            "info1": masked(exits["info1"], informed),
            "info2": masked(exits["info2"], informed),
            "info_words": self._infos.column(info, informed),
        }

    def _detail(self, exits: dict[str, Array], rows: Array) -> dict[str, Any]:
        needed = ("isa", "reason", "flags", "detail", "info1", "user_reason")
        chosen = {name: exits[name][rows] for name in needed}
        isa, reason, flags = chosen["isa"], chosen["reason"], chosen["flags"]
        moves = (isa == lib.KVMLOG_ISA_VMX) & np.isin(reason & lib.KVMLOG_VMX_BASIC_MASK, _MOVES)
        moves &= (flags & lib.KVMLOG_F_INFO_VALID) != 0
        device = (flags & lib.KVMLOG_F_USER_REASON) != 0
        device &= chosen["user_reason"] == userspace.MMIO
        nested = (flags & lib.KVMLOG_F_NESTED) != 0
        # What words do not depend on makes no two of one detail.
        info1 = np.where(moves, chosen["info1"], 0)
        bits = [one.astype("u1") for one in (moves, device, nested)]
        return {
            "detail_kind": self._kinds.column([isa, reason], rows),
            "detail_words": self._details.column(
                [isa, reason, chosen["detail"], info1, *bits], rows
            ),
        }


def _figures(records: Array, is_exit: Array) -> dict[str, Array]:
    """Return who spent the time of each exit; zeros for records that are none."""
    if is_exit.all():
        return columns_of(figures_of(records))
    figures = np.zeros(len(records), figures_of(records[:0]).dtype)
    figures[is_exit] = figures_of(records[is_exit])
    return columns_of(figures)


class _NoteColumns:
    """The columns of records that are no exits; these are few, and decoded one by one."""

    _INTS: Final = ("lost", "lost_total", "delta_ns")
    _TEXTS: Final = ("cause", "event", "words")

    def __init__(self, view: GuestView) -> None:
        self._view = view
        self._texts = {name: Dictionary() for name in self._TEXTS}

    def of(self, exits: Array) -> dict[str, Any]:
        """Return the columns, null for exits."""
        ints = {name: ma.masked_all(len(exits), "i8") for name in self._INTS}
        texts = {name: np.full(len(exits), NONE, "i4") for name in self._TEXTS}
        for at in np.flatnonzero(exits["type"] != lib.KVMLOG_RECORD_EXIT).tolist():
            note = decode_record(record_bytes(exits, at))
            for name, value in _note(note, self._view.labels.guest(note)).items():
                if isinstance(value, int):
                    ints[name][at] = value
                else:
                    texts[name][at] = self._texts[name].number(value)
        return ints | {name: self._texts[name].column(texts[name]) for name in self._TEXTS}


def _note(note: AnyRecord, guest: Guest | None) -> dict[str, int | str]:
    found: dict[str, int | str] = {"words": notes.note_words(note, guest)}
    if isinstance(note, LossRecord):
        found |= {"lost": note.lost, "lost_total": note.total, "cause": notes.cause_name(note)}
    elif isinstance(note, SwitchRecord):
        found["cause"] = notes.cause_name(note)
    elif isinstance(note, ClockRecord):
        found |= {"event": notes.event_name(note), "delta_ns": note.delta_ns}
    return found


def _array(column: Any, field: Any) -> Any:
    """Return a column as an Arrow array of the field's type: unsigned values keep their bits."""
    if isinstance(column, pa.DictionaryArray):
        return column
    mask = None
    if isinstance(column, ma.MaskedArray):
        mask = ma.getmaskarray(column)
        column = column.data
    if pa.types.is_boolean(field.type):
        return pa.array(column, mask=mask)
    wide = np.dtype("i4") if field.type == pa.int32() else np.dtype("i8")
    column = column.view("i8") if column.dtype == np.dtype("u8") else column.astype(wide)
    return pa.array(column, mask=mask).cast(field.type)
