# SPDX-License-Identifier: GPL-2.0-or-later
"""The parameters of kvmStatistics, and its reply as the report that the server made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kvmlog.client.connection import RpcError
from kvmlog.guests.model import Guest
from kvmlog.ring.records import NO_VCPU, enum_names
from kvmlog.ring.statistics.reader import NO_RETURN, By, Row, StatisticsGuest
from kvmlog.stat import octaves
from kvmlog.stat.query import BY_WORDS, Query
from kvmlog.stat.report import GuestFigures, Line, Report
from kvmlog.stat.serialize import HANDLERS
from kvmlog.util import units

# The most groups that a reply has with their octaves.
MOST_TOP_OCTAVES: Final = 2_048
_KINDS: Final = {
    name: kind
    for kind, name in enum_names(
        "kvmlog_statistics_detail_kind", "KVMLOG_STATISTICS_DETAIL_"
    ).items()
}
_ISAS: Final = {name: isa for isa, name in enum_names("kvmlog_isa", "KVMLOG_ISA_").items()}
_HANDLERS: Final = {word: handler for handler, word in HANDLERS.items()}
_FLAGS: Final = ("nested", "halt", "rough")
_ACCOUNT: Final = (
    "since_realtime_ns",
    "since_utc_offset_s",
    "until_realtime_ns",
    "until_utc_offset_s",
    "exits",
    "overflow",
    "overflow_rows",
    "overflow_histogram",
    "torn",
    "forgotten",
)


def parameters(
    query: Query, vm: Sequence[str], over_s: float | None, *, fresh: bool = False
) -> dict[str, Any]:
    """Return the parameters for a query; over_s and fresh: as for Client.statistics()."""
    params: dict[str, Any] = {
        "by": [word for word, flag in BY_WORDS.items() if flag in query.by],
        "sort": query.sort,
        "halts": query.halts,
        "exact": query.exact,
    }
    if query.octaves:
        params["octaves"] = True
    if query.top is not None:
        params["top"] = query.top
    if vm:
        params["vm"] = list(vm)
    if over_s is not None:
        params["over_s"] = over_s
    if fresh:
        params["fresh"] = True
    return params


def report_of(reply: Any, query: Query) -> tuple[Report, list[str]]:
    """Parse a kvmStatistics reply: return the report and its notes. RpcError for another reply."""
    try:
        return _report(reply, query), list(reply["notes"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RpcError(
            f"the statistics lack something ({type(error).__name__}: {ascii(str(error))[:80]}); "
            "use client and server of one version"
        ) from None


def _report(reply: Mapping[str, Any], query: Query) -> Report:
    lines = [_line(one, query.by) for one in reply["rows"]]
    left_out = int(reply["rows_left_out"])
    return Report(
        query=query,
        statistics_id=reply["statistics_id"],
        age_ns=round(reply["age_s"] * units.NS_PER_S),
        lines=[line for line in lines if query.halts or not line.row.halt],
        halts=[line for line in lines if not query.halts and line.row.halt],
        left_out=left_out,
        guests=[_guest(one) for one in reply["guests"]],
        shown_exits=int(reply["shown_exits"]),
        lost_records=int(reply["lost_records"]) if reply["lost_records"] else None,
        **{name: int(reply[name]) for name in _ACCOUNT},
    )


def _line(it: Mapping[str, Any], by: By) -> Line:
    values: dict[str, Any] = dict.fromkeys(Row._fields, 0)
    for name in values:
        if name in _FLAGS:
            values[name] = bool(it.get(name))
        elif name in it and it[name] != "" and name not in ("guest", "detail_kind"):
            values[name] = int(it[name])
    if By.GUEST in by:
        values["guest"] = int(it["guest_id"])
    values["handler"] = _HANDLERS.get(it.get("handled_by", ""), 0)
    if By.VCPU in by and it["vcpu"] == "":
        values["vcpu"] = NO_VCPU
    if By.DETAIL in by:
        values["detail_kind"] = _KINDS[it["detail_kind"]]
    if By.RETURN in by and it["user_reason"] == "":
        values["user_reason"] = NO_RETURN
    row = Row(**values)
    part_ns = row.vmm_ns if By.RETURN in by else row.total_ns
    counts = octaves.whole([int(one) for one in it["octaves"]]) if "octaves" in it else ()
    return Line(row, it.get("guest", ""), part_ns, int(it["whole_ns"]), counts)


def _guest(it: Mapping[str, Any]) -> GuestFigures:
    pid = int(it["pid"] or 0)
    statistics = StatisticsGuest(
        id=int(it["id"]),
        number=int(it["number"]),
        tgid=pid,
        start_boottime_ns=int(it["start_boottime_ns"]),
        cgroup=0,
        comm=it["comm"],
        isa=_ISAS.get(it["isa_name"], 0),
        first_ns=0,
        last_ns=0,
        exits=int(it["exits"]),
    )
    known = None
    # A server of an earlier version does not say whether it runs; "" is a guest not known there.
    if it["uuid"] or it.get("running", "") != "":
        ended = it.get("ended_realtime_ns")
        known = Guest(
            *(pid, 0, it["comm"], "other", it["name"], True),
            uuid=it["uuid"] or None,
            ended_realtime_ns=int(ended) if ended else None,
        )
    return GuestFigures(it["name"], statistics, known, statistics.exits)
