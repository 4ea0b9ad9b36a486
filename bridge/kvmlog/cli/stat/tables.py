# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of `kvmlog stat`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from rich.cells import cell_len

from kvmlog.cli.stat import columns
from kvmlog.cli.table import Block, Column, Table
from kvmlog.exits.format.notes import counted
from kvmlog.exits.reasons import names
from kvmlog.native import lib
from kvmlog.ring.records import NO_VCPU
from kvmlog.ring.statistics.reader import HANDLER_L0, HANDLER_L1, NO_RETURN, By, Row
from kvmlog.stat.query import DEFAULT_BY
from kvmlog.stat.report import Line, Report
from kvmlog.stat.serialize import detail_words
from kvmlog.util import units

LEGEND: Final = """\
who spent the time of a group, in percent of its TOTAL (together 100 %):
  KVM     KVM in the host's kernel, polling for the end of a halt included
  VMM     the guest's own process (QEMU, ...), which KVM returned to
  WAIT    nobody: the vCPU's thread was ready to run and got no CPU
  IDLE    nobody: the guest halted, and its vCPU slept
  PAUSED  nobody: the VMM was interrupted and held the vCPU (virsh suspend)
SHARE   part of the time in exits of that guest (by guest alone: of all), without halts;
        by return: part of the time in the VMM
MIN, MAX  the shortest and the longest exit
P50 ... half of the exits took no longer, 99.9 percent no longer than P99.9; "<" before a
        figure: only its power of two is known
NOTE    nested: exits of a nested guest (L2), by L0: that this host handled, to L1: of which
        its hypervisor was given an exit; halt: exits that halted; ended: the guest has
DETAIL  "other": what a reason has more than the rows of its details"""

NO_REASONS: Final = (
    "this kernel's KVM shows no exits, only returns to the VMM: kvmlog stat --by guest,return"
)


def blocks(report: Report, figures: Sequence[str] | None) -> list[Block]:
    """Return what there is to print: a heading, tables, and what is in none of them.

    figures: their columns, by name; None: all, as far as they fit.
    """
    found: list[Block] = [heading(report)]
    groups, halts = _tables(report, figures)
    if report.lines:
        found.append(groups)
    if report.halts:
        found += ["halts, which are in no SHARE above:", halts]
    if report.left_out:
        found.append(f"and {counted(report.left_out, 'group')} more")
    if By.RETURN not in report.query.by and any(
        lacks_reason(line.row) for line in report.lines + report.halts
    ):
        found.append(NO_REASONS)
    missing = missing_words(report)
    if missing:
        found.append(missing)
    return found


def heading(report: Report) -> str:
    """Return from when to when, and how many exits: "11-20 19:46:02 to ...: 812 exits"."""
    since = units.date_time(report.since_realtime_ns, report.since_utc_offset_s)
    until = units.date_time(report.until_realtime_ns, report.until_utc_offset_s)
    length = units.duration(max(0, report.until_realtime_ns - report.since_realtime_ns))
    return f"{since} to {until} ({length}): {counted(report.shown_exits, 'exit')}"


def missing_words(report: Report) -> str:
    """Return what the tables cannot show and why, "" when there is no such thing."""
    full = "the memory for statistics is full (kvmlog bridge --statistics-mib)"
    amounts = (
        (report.overflow, "exit", f"without a group: {full}"),
        (
            report.overflow_rows if report.query.by & ~DEFAULT_BY else 0,
            "exit",
            f"in groups by guest and reason only: {full}",
        ),
        (report.overflow_histogram, "exit", f"in no percentile: {full}"),
        (report.torn, "group", "that the bridge left half written; restart it"),
        (report.forgotten, "exit", "of guests that ended and had to make room"),
        (report.lost_records or 0, "record", "lost; kvmlog status"),
    )
    words = [f"{counted(number, one)} {why}" for number, one, why in amounts if number]
    return "missing: " + "; ".join(words) if words else ""


def lacks_reason(row: Row) -> bool:
    """Return whether its exits have neither reason nor times (reasons.lacks_reason)."""
    return row.isa == lib.KVMLOG_ISA_NONE and not row.reason and not row.total_ns


def _tables(report: Report, figures: Sequence[str] | None) -> tuple[Table, Table]:
    """Return tables of groups and of halts, with the same columns and widths."""
    fields = _fields(report, figures)
    groups, halts = (
        [[cell(line) for _, cell in fields] for line in lines]
        for lines in (report.lines, report.halts)
    )
    aligned = [
        replace(column, width=max([column.width, *(cell_len(row[at]) for row in groups + halts)]))
        for at, (column, _) in enumerate(fields)
    ]
    return Table(aligned, groups), Table(aligned, halts)


def _fields(report: Report, figures: Sequence[str] | None) -> list[columns.Field]:
    by = report.query.by
    fields = [field for flag, field in _KEYS if flag in by]
    fields += columns.figures(by, figures)
    ended = _ended(report) if By.GUEST in by else frozenset()
    if any(_note(line, ended) for line in report.lines + report.halts):
        fields.append((Column("NOTE"), lambda line: _note(line, ended)))
    return fields


def _ended(report: Report) -> frozenset[int]:
    """Return the ids of guests that have ended."""
    return frozenset(
        one.statistics.id
        for one in report.guests
        if one.guest is not None and one.guest.ended_realtime_ns is not None
    )


_HANDLERS: Final = {HANDLER_L0: "by L0", HANDLER_L1: "to L1"}


def _note(line: Line, ended: Collection[int]) -> str:
    words = ["nested"] if line.row.nested else []
    words += [_HANDLERS[line.row.handler]] if line.row.handler in _HANDLERS else []
    if line.row.guest in ended:
        words.append("ended")
    # Below their own title, and by their reason, it goes without saying.
    if line.row.halt and line.whole_ns:
        words.append("halt")
    return ", ".join(words)


def _vcpu(line: Line) -> str:
    return "" if line.row.vcpu == NO_VCPU else str(line.row.vcpu)


def _reason(row: Row) -> str:
    return names.reason_name(row.isa, row.reason)


def _return(line: Line) -> str:
    number = line.row.user_reason
    return "" if number == NO_RETURN else names.user_reason_name(number)


_KEYS: Final[tuple[tuple[By, columns.Field], ...]] = (
    (By.GUEST, (Column("GUEST", width=12), lambda line: line.guest)),
    (By.VCPU, (Column("VCPU", right=True), _vcpu)),
    (
        By.REASON,
        (
            Column("REASON", width=13),
            lambda line: "" if lacks_reason(line.row) else _reason(line.row),
        ),
    ),
    (By.DETAIL, (Column("DETAIL", width=24), lambda line: detail_words(line.row))),
    (By.RETURN, (Column("RETURN", width=16), _return)),
)
