# SPDX-License-Identifier: GPL-2.0-or-later
"""One readable line per record.

The columns of an exit: local time, the guest's name or, where that is not known,
the source's number of it, vCPU, host CPU, reason, its detail in words, time from
exit to re-entry, the part outside the kernel (in the VMM; without pauses), the
part halted; then notes. A missing time is "-". A record without reason and times
has KVM_EXIT_* in the reason's column. Other records are one sentence after the time.
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from kvmlog.exits.decode import detail
from kvmlog.exits.format.notes import note_words
from kvmlog.exits.reasons import names
from kvmlog.guests.labels import Label
from kvmlog.native import lib
from kvmlog.ring.records import NO_CPU, NO_VCPU, AnyRecord, Record
from kvmlog.util import units

_COLUMNS: Final = "{:<21} {:<16} {:>4} {:>4}  {:<49} {:>7} {:>7} {:>7}  {}"
# Together one column of _COLUMNS: a long name takes the place that its detail leaves, and
# a long detail that which the name leaves.
_REASON: Final = "{:<20} {}"
_REASON_COLUMN: Final = 49

HEADER: Final = _COLUMNS.format(
    *("TIME", "GUEST", "VCPU", "CPU", _REASON.format("REASON", "DETAIL")),
    *("TOTAL", "VMM", "HALT", "NOTES"),
).rstrip()

# The note for each flag, in this order.
_FLAG_WORDS: Final[tuple[tuple[int, str], ...]] = (
    (lib.KVMLOG_F_NESTED, "nested"),
    (lib.KVMLOG_F_NESTED_L0, "by L0"),
    (lib.KVMLOG_F_NESTED_L1, "to L1"),
    (lib.KVMLOG_F_PROTECTED, "protected"),
    (lib.KVMLOG_F_NO_REENTRY, "no re-entry"),
    (lib.KVMLOG_F_HALT_SLEPT, "slept"),
    (lib.KVMLOG_F_MIGRATED, "migrated"),
)

# Shorter, and KVM_RUN was interrupted by a signal as it happens; longer, and the vCPU was held.
_PAUSE_NS: Final = 1_000_000


def format_record(
    record: AnyRecord, wall_ns: int, utc_offset_s: int, label: Label | None = None
) -> str:
    """Return one line, without newline, for a record of any type.

    wall_ns: the record's time as CLOCK_REALTIME ns (Clocks.at).
    utc_offset_s: seconds that local time is east of UTC.
    label: its guest, where it is known (GuestLabels).
    """
    if isinstance(record, Record):
        name = str(record.guest) if label is None else label.text
        return _exit_line(record, wall_ns, utc_offset_s, name)
    words = note_words(record, None if label is None else label.guest)
    return f"{units.time_column(wall_ns, utc_offset_s)} -- {words}"


def sentence_line(words: str) -> str:
    """Return a line of the reader's own (a gap, a replaced ring), with an empty time column."""
    return f"{'':<21} -- {words}"


def exit_notes(record: Record, unsaid: int = 0) -> list[str]:
    """Return the notes on an exit, beyond its columns.

    unsaid: flags (enum kvmlog_flag) to leave out.
    """
    notes = names.reason_flags(record.isa, record.reason)
    lacks_reason = names.lacks_reason(record)
    # Where no exits are seen, no re-entries are.
    unsaid |= lib.KVMLOG_F_NO_REENTRY if lacks_reason else 0
    if not lacks_reason and record.flags & lib.KVMLOG_F_USER_REASON:
        notes.append(names.user_reason_name(record.user_reason))
    if record.flags & lib.KVMLOG_F_USER_REASON and record.user_errno:
        notes.append(_errno_name(-record.user_errno))
    if record.user_exits > 1:
        notes.append(f"{record.user_exits} returns to the VMM")
    notes += [word for flag, word in _FLAG_WORDS if record.flags & flag & ~unsaid]
    if record.flags & lib.KVMLOG_F_USER_EINTR:
        held = record.paused_ns >= _PAUSE_NS
        notes.append(f"paused {units.duration(record.paused_ns)}" if held else "interrupted")
    if record.flags & lib.KVMLOG_F_DELAY_VALID:
        waited_us = record.delay_kernel_us + record.delay_user_us
        if waited_us:
            notes.append(f"waited {units.duration(waited_us * 1_000)} for a CPU")
    return notes


class ExitCells(NamedTuple):
    """An exit's columns beyond time and guest; "-" where there is nothing to say."""

    vcpu: str
    cpu: str
    reason: str
    detail: str  # "" where there is none
    total: str
    vmm: str
    halt: str
    notes: str  # "" where there are none


def exit_cells(record: Record, unsaid: int = 0) -> ExitCells:
    """Return the columns of an exit, as the lines and `kvmlog pending` have them.

    unsaid: flags to leave out of the notes.
    """
    halted_ns = names.halted_ns(record)
    reason = names.reason_name(record.isa, record.reason)
    total = units.duration(record.total_ns)
    if names.lacks_reason(record):
        returned = record.flags & lib.KVMLOG_F_USER_REASON
        reason = names.user_reason_name(record.user_reason) if returned else "-"
        total = "-"
    words = ""
    if record.flags & lib.KVMLOG_F_DETAIL_VALID:
        info1 = record.info1 if record.flags & lib.KVMLOG_F_INFO_VALID else None
        words = detail.detail_words(
            *(record.isa, record.reason, record.detail, info1),
            is_device=names.is_mmio(record),
            is_nested=names.is_nested(record),
        )
    return ExitCells(
        vcpu="-" if record.vcpu == NO_VCPU else str(record.vcpu),
        cpu="-" if record.cpu == NO_CPU else str(record.cpu),
        reason=reason,
        detail=words,
        total=total,
        vmm=units.duration(record.vmm_ns) if record.vmm_ns else "-",
        halt=units.duration(halted_ns) if halted_ns else "-",
        notes=", ".join(exit_notes(record, unsaid)),
    )


def _exit_line(record: Record, wall_ns: int, utc_offset_s: int, guest: str) -> str:
    cells = exit_cells(record)
    line = _COLUMNS.format(
        units.time_column(wall_ns, utc_offset_s),
        guest,
        cells.vcpu,
        cells.cpu,
        _reason_column(cells.reason, cells.detail),
        cells.total,
        cells.vmm,
        cells.halt,
        cells.notes,
    )
    return line.rstrip()


def _reason_column(reason: str, words: str) -> str:
    line = _REASON.format(reason, words)
    if len(line) <= _REASON_COLUMN:
        return line
    return f"{reason} {words:>{max(0, _REASON_COLUMN - len(reason) - 1)}}"


def _errno_name(number: int) -> str:
    return errno.errorcode.get(number, f"errno {number}")
