# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmStatistics: exits by guest and reason, since the statistics began or for some seconds.

A call is answered at once, from what the bridge wrote last, unless it asks to wait.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

from kvmlog.guests.names import GuestError
from kvmlog.ring.statistics.reader import check_octaves
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.places import Places
from kvmlog.rpcserver.methods.readers import open_statistics
from kvmlog.rpcserver.methods.records import VM
from kvmlog.rpcserver.methods.shared_snapshot import SHARED
from kvmlog.stat.query import BY_WORDS, SORTS, Query, by_words, sort_of
from kvmlog.stat.report import Report
from kvmlog.stat.sampler import Sampler
from kvmlog.stat.serialize import report_object, row_object
from kvmlog.util.errors import IntervalError, StatisticsError

LEAST_OVER_S: Final = 0.1
MOST_OVER_S: Final = 60.0
DEFAULT_TOP: Final = 100
MOST_TOP: Final = 4_096
# Memory for a row of a reply while that is made, as a struct, then as XML.
_ROW_BYTES: Final = 4 * 1024
# With octaves it takes twice as much, so that a reply has half as many of them.
_MOST_TOP_OCTAVES: Final = MOST_TOP // 2
# A call that waits holds one or two copies of all statistics for seconds; all others share one.
_WAITING: Final = 8
_WAITING_PER_CALLER: Final = 4
PLACES: Final = Places(_WAITING, _WAITING_PER_CALLER, "kvmStatistics with over_s or fresh")

_STATISTICS: Final[Mapping[str, Check]] = {
    "by": params.strings(len(BY_WORDS), 16),
    "vm": VM,
    "sort": params.one_of(*SORTS),
    "top": params.integer(1, MOST_TOP),
    "halts": params.boolean,
    "exact": params.boolean,
    "octaves": params.boolean,
    "over_s": params.seconds(LEAST_OVER_S, MOST_OVER_S),
    "fresh": params.boolean,
}


def statistics(call: Call) -> dict[str, Any]:
    """Serve kvmStatistics: one report."""
    given = params.parse(call.parameters, "kvmStatistics", _STATISTICS)
    try:
        by = by_words(given.get("by", ["guest", "reason"]))
        query = Query(
            by,
            sort_of(by, given.get("sort")),
            given.get("top", DEFAULT_TOP),
            given.get("halts", False),
            given.get("exact", False),
            given.get("octaves", False),
        )
        if query.octaves:
            check_octaves(by)
            if query.top is not None and query.top > _MOST_TOP_OCTAVES:
                raise StatisticsError(
                    f"top is {query.top}, with octaves; give at most {_MOST_TOP_OCTAVES}"
                )
    except StatisticsError as error:
        raise faults.fault(faults.INVALID_PARAMETERS, f"kvmStatistics: {error}.") from error
    if "over_s" in given and given.get("fresh"):
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            "kvmStatistics: figures over_s are always fresh; give one of the two.",
        )
    with PLACES.hold(call.caller_key) if _waits(given) else contextlib.nullcontext():
        return _reply(call, query, given)


def _waits(given: dict[str, Any]) -> bool:
    return "over_s" in given or bool(given.get("fresh"))


def _reply(call: Call, query: Query, given: dict[str, Any]) -> dict[str, Any]:
    notes: list[str] = []
    with open_statistics(call) as reader:
        sampler = Sampler(
            reader,
            call.ring_path,
            call.switch_path,
            query,
            given.get("vm", ()),
            notes.append,
            lambda: SHARED.copy(reader) if _waits(given) else SHARED.recent(reader),
        )
        with call.work.waiting():
            sampler.warn_if_incomplete()
        try:
            report = _report(call, sampler, given.get("over_s"), given.get("fresh", False))
        except GuestError as error:
            raise faults.fault(faults.NO_GUEST, f"{error}.") from error
        except IntervalError as error:
            raise faults.fault(
                faults.INVALID_PARAMETERS, f"kvmStatistics: over_s: {error}."
            ) from error
    # Of groups, and of halts besides. Not earlier: a call that waits would keep others from it.
    row_bytes = 2 * _ROW_BYTES if query.octaves else _ROW_BYTES
    call.work.reserve(2 * (query.top or MOST_TOP) * row_bytes)
    return {
        **report_object(report),
        "rows": _rows(report),
        "shown_exits": report.shown_exits,
        "notes": notes,
    }


def _report(call: Call, sampler: Sampler, over_s: float | None, fresh: bool) -> Report:
    if over_s is None and not fresh:
        return sampler.since(None, sampler.last())
    # For the bridge to count, for exits under way, for the interval.
    with call.work.waiting():
        if over_s is None:
            base, now = None, sampler.settled()
        else:
            sampler.require(over_s)
            base = sampler.now()
            time.sleep(over_s)
            now = sampler.now()
    return sampler.since(base, now)


def _rows(report: Report) -> list[dict[str, Any]]:
    """Those of report_object(), with the whole that each share is a part of."""
    return [
        {**row_object(line, report.query.by), "whole_ns": line.whole_ns}
        for line in report.lines + report.halts
    ]
