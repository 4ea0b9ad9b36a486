# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of groups, notes on them, and what a report is missing, in words."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from kvmlog.exits.format.notes import counted
from kvmlog.exits.reasons import names
from kvmlog.native import lib
from kvmlog.ring.records import NO_VCPU
from kvmlog.ring.statistics.reader import HANDLER_L0, HANDLER_L1, NO_RETURN, Row
from kvmlog.stat.query import DEFAULT_BY
from kvmlog.stat.report import Line, Report

NO_REASONS: Final = (
    "this kernel's KVM shows no exits, only returns to the VMM: kvmlog stat --by guest,return"
)


def missing(report: Report) -> str:
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
    found = [f"{counted(number, one)} {why}" for number, one, why in amounts if number]
    return "missing: " + "; ".join(found) if found else ""


def lacks_reason(row: Row) -> bool:
    """Return whether its exits have neither reason nor times (reasons.lacks_reason)."""
    return row.isa == lib.KVMLOG_ISA_NONE and not row.reason and not row.total_ns


def ended(report: Report) -> frozenset[int]:
    """Return the ids of guests that have ended."""
    return frozenset(
        one.statistics.id
        for one in report.guests
        if one.guest is not None and one.guest.ended_realtime_ns is not None
    )


def vcpu(row: Row) -> str:
    """Return the number of the vCPU, "" where it is not known."""
    return "" if row.vcpu == NO_VCPU else str(row.vcpu)


def reason(row: Row) -> str:
    """Return the name of the exit reason, "" where KVM tells none."""
    return "" if lacks_reason(row) else names.reason_name(row.isa, row.reason)


def returned(row: Row) -> str:
    """Return the name of KVM_EXIT_*, "" for exits that did not return to the VMM."""
    return "" if row.user_reason == NO_RETURN else names.user_reason_name(row.user_reason)


_HANDLERS: Final = {HANDLER_L0: "by L0", HANDLER_L1: "to L1"}


def note(line: Line, gone: Collection[int]) -> str:
    """Return what NOTE has of a group; gone: ids of guests that have ended."""
    found = ["nested"] if line.row.nested else []
    found += [_HANDLERS[line.row.handler]] if line.row.handler in _HANDLERS else []
    if line.row.guest in gone:
        found.append("ended")
    # Below their own title, and by their reason, it goes without saying.
    if line.row.halt and line.whole_ns:
        found.append("halt")
    return ", ".join(found)
