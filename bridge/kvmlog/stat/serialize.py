# SPDX-License-Identifier: GPL-2.0-or-later
"""A report of the statistics as JSON-ready objects: every figure as it is, in ns, with names.

A key that the groups are not by, or a figure that groups by return do not have, is left out,
so that a zero is always a counted zero. kvm_ns, vmm_ns, wait_ns, idle_ns and paused_ns sum up
to total_ns.
"""

from __future__ import annotations

from typing import Any, Final

from kvmlog.exits.decode import detail
from kvmlog.exits.reasons import names
from kvmlog.ring.records import NO_VCPU, enum_names
from kvmlog.ring.statistics.reader import (
    DETAIL_DEVICE,
    DETAIL_EXACT,
    DETAIL_OTHER,
    DETAIL_REGION,
    HANDLER_L0,
    HANDLER_L1,
    NO_RETURN,
    By,
    Row,
)
from kvmlog.stat import octaves
from kvmlog.stat.report import GuestFigures, Line, Report
from kvmlog.util.units import NS_PER_S, iso_time

_TIMES: Final = ("total_ns", "min_ns", "max_ns")
_SPLIT: Final = ("kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
_PERCENTILES: Final = ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "rough")
_FIGURES: Final = (*_TIMES, *_SPLIT, *_PERCENTILES)
_RETURN_FIGURES: Final = ("total_ns", "vmm_ns", "paused_ns")


def report_object(report: Report) -> dict[str, Any]:
    """Return one JSON-ready object; halts are among the rows, with "halt": true."""
    lines = report.lines + report.halts
    return {
        "statistics_id": report.statistics_id,
        "since": iso_time(report.since_realtime_ns, report.since_utc_offset_s),
        "until": iso_time(report.until_realtime_ns, report.until_utc_offset_s),
        "since_realtime_ns": report.since_realtime_ns,
        "since_utc_offset_s": report.since_utc_offset_s,
        "until_realtime_ns": report.until_realtime_ns,
        "until_utc_offset_s": report.until_utc_offset_s,
        "age_s": report.age_ns / NS_PER_S,
        "by": [flag.name.lower() for flag in By if flag in report.query.by and flag.name],
        "guests": [_guest_object(one) for one in report.guests],
        "rows": [row_object(line, report.query.by) for line in lines],
        "rows_left_out": report.left_out,
        "exits": report.exits,
        "overflow": report.overflow,
        "overflow_rows": report.overflow_rows,
        "overflow_histogram": report.overflow_histogram,
        "torn": report.torn,
        "forgotten": report.forgotten,
        "lost_records": report.lost_records,
    }


def detail_words(row: Row) -> str:
    """Return the detail of a group in words, "" where its exits have none."""
    if row.detail_kind == DETAIL_EXACT:
        # Of an address that is no device's only the region is kept.
        return detail.detail_words(
            row.isa, row.reason, row.detail, is_device=True, is_nested=row.nested
        )
    if row.detail_kind == DETAIL_DEVICE:
        return detail.device_words(row.isa, row.detail)
    if row.detail_kind == DETAIL_REGION:
        return detail.region_words(row.isa, row.reason, row.detail)
    return "other" if row.detail_kind == DETAIL_OTHER else ""


def row_object(line: Line, by: By) -> dict[str, Any]:
    """Return a group as `rows` of report_object() have it."""
    row = line.row
    out: dict[str, Any] = {}
    if By.GUEST in by:
        out |= {"guest": line.guest, "guest_id": row.guest}
    if By.VCPU in by:
        out["vcpu"] = None if row.vcpu == NO_VCPU else row.vcpu
    if By.REASON in by:
        out |= {
            "isa": row.isa,
            "isa_name": names.isa_name(row.isa),
            "reason": row.reason,
            "reason_name": names.reason_name(row.isa, row.reason),
        }
    if By.DETAIL in by:
        out |= _detail(row)
    if By.RETURN in by:
        returned = row.user_reason != NO_RETURN
        out["user_reason"] = row.user_reason if returned else None
        out["user_reason_name"] = names.user_reason_name(row.user_reason) if returned else None
    out |= {
        "nested": row.nested,
        "handled_by": HANDLERS.get(row.handler),
        "halt": row.halt,
        "count": row.count,
    }
    figures = row._asdict()
    out |= {name: figures[name] for name in (_RETURN_FIGURES if By.RETURN in by else _FIGURES)}
    out["share"] = line.part_ns / line.whole_ns if line.whole_ns else None
    if line.octaves:
        out["octaves"] = octaves.shortened(line.octaves)
    return out


# Of a nested exit: this host (L0) or the hypervisor in its own guest (L1).
HANDLERS: Final = {HANDLER_L0: "l0", HANDLER_L1: "l1"}

_DETAIL_KINDS: Final = enum_names("kvmlog_statistics_detail_kind", "KVMLOG_STATISTICS_DETAIL_")


def _detail(row: Row) -> dict[str, Any]:
    kind = row.detail_kind
    one = kind in (DETAIL_EXACT, DETAIL_REGION, DETAIL_DEVICE)
    return {
        "detail": row.detail if one else None,
        "detail_hex": hex(row.detail) if one else None,
        "detail_kind": _DETAIL_KINDS.get(kind, str(kind)),
        "detail_words": detail_words(row) or None,
    }


def _guest_object(figures: GuestFigures) -> dict[str, Any]:
    one, guest = figures.statistics, figures.guest
    ended_ns = guest.ended_realtime_ns if guest else None
    return {
        "id": one.id,
        "name": figures.label,
        "uuid": guest.uuid if guest else None,
        "pid": one.tgid or None,
        "comm": one.comm,
        "number": one.number,
        "isa_name": names.isa_name(one.isa),
        "start_boottime_ns": one.start_boottime_ns,
        "exits": figures.exits,
        # None where the bridge has forgotten the guest.
        "running": ended_ns is None if guest else None,
        "ended_realtime_ns": ended_ns,
    }
