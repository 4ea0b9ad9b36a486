# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of `kvmlog stat`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rich.cells import cell_len

from kvmlog.cli.stat import columns
from kvmlog.cli.table import Block, Column, Table
from kvmlog.exits.format.notes import counted
from kvmlog.ring.statistics.reader import By
from kvmlog.stat import words
from kvmlog.stat.report import Report
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
        words.lacks_reason(line.row) for line in report.lines + report.halts
    ):
        found.append(words.NO_REASONS)
    missing = words.missing(report)
    if missing:
        found.append(missing)
    return found


def heading(report: Report) -> str:
    """Return from when to when, and how many exits: "11-20 19:46:02 to ...: 812 exits"."""
    since = units.date_time(report.since_realtime_ns, report.since_utc_offset_s)
    until = units.date_time(report.until_realtime_ns, report.until_utc_offset_s)
    length = units.duration(max(0, report.until_realtime_ns - report.since_realtime_ns))
    return f"{since} to {until} ({length}): {counted(report.shown_exits, 'exit')}"


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
    ended = words.ended(report) if By.GUEST in by else frozenset()
    if any(words.note(line, ended) for line in report.lines + report.halts):
        fields.append((Column("NOTE"), lambda line: words.note(line, ended)))
    return fields


_KEYS: Final[tuple[tuple[By, columns.Field], ...]] = (
    (By.GUEST, (Column("GUEST", width=12), lambda line: line.guest)),
    (By.VCPU, (Column("VCPU", right=True), lambda line: words.vcpu(line.row))),
    (By.REASON, (Column("REASON", width=13), lambda line: words.reason(line.row))),
    (By.DETAIL, (Column("DETAIL", width=24), lambda line: detail_words(line.row))),
    (By.RETURN, (Column("RETURN", width=16), lambda line: words.returned(line.row))),
)
