# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmStatistics: exits by guest and reason, since the statistics began or for some seconds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xmlrpc.client import Fault

from kvmlog.guests.names import GuestError
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.readers import open_statistics
from kvmlog.rpcserver.methods.records import VM
from kvmlog.stat.query import BY_WORDS, SORTS, Query, by_words, sort_of
from kvmlog.stat.report import Report
from kvmlog.stat.sampler import Sampler
from kvmlog.stat.serialize import report_object, row_object
from kvmlog.util.errors import StatisticsError

LEAST_OVER_S: Final = 0.1
MOST_OVER_S: Final = 60.0
DEFAULT_TOP: Final = 100
MOST_TOP: Final = 4_096
# Memory for a row of a reply while that is made, as a struct, then as XML.
_ROW_BYTES: Final = 4 * 1024
# Each call holds one or two copies of all statistics while it runs.
_AT_ONCE: Final = 8
# Calls with over_s, which hold these for seconds, have as many slots of their own, which no single
# caller can take all of.
_WAITING_PER_CALLER: Final = 4
_lock: Final = threading.Lock()  # covers both
_brief: Final[Counter[object]] = Counter()  # calls under way of each caller
_waiting: Final[Counter[object]] = Counter()

_STATISTICS: Final[Mapping[str, Check]] = {
    "by": params.strings(len(BY_WORDS), 16),
    "vm": VM,
    "sort": params.one_of(*SORTS),
    "top": params.integer(1, MOST_TOP),
    "halts": params.boolean,
    "over_s": params.seconds(LEAST_OVER_S, MOST_OVER_S),
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
        )
    except StatisticsError as error:
        raise faults.fault(faults.INVALID_PARAMETERS, f"kvmStatistics: {error}.") from error
    with _slot(call.caller_key, waits="over_s" in given):
        return _reply(call, query, given)


@contextlib.contextmanager
def _slot(caller: object, *, waits: bool) -> Iterator[None]:
    """Hold a slot; Fault BUSY when all of them, or all that one caller may have, are taken."""
    under_way = _waiting if waits else _brief
    with _lock:
        if waits and under_way[caller] >= _WAITING_PER_CALLER:
            raise _busy(f"{_WAITING_PER_CALLER} calls of yours of kvmStatistics with over_s")
        if under_way.total() >= _AT_ONCE:
            raise _busy(f"{_AT_ONCE} calls of kvmStatistics{' with over_s' if waits else ''}")
        under_way[caller] += 1
    try:
        yield
    finally:
        with _lock:
            under_way[caller] -= 1
            # Callers are not remembered for good.
            if not under_way[caller]:
                del under_way[caller]


def _busy(what: str) -> Fault:
    return faults.fault(faults.BUSY, f"{what} are under way; try again later.")


def _reply(call: Call, query: Query, given: dict[str, Any]) -> dict[str, Any]:
    # Of groups, and of halts besides.
    call.work.reserve(2 * (query.top or MOST_TOP) * _ROW_BYTES)
    notes: list[str] = []
    with open_statistics(call) as reader:
        sampler = Sampler(reader, call.ring_path, query, given.get("vm", ()), notes.append)
        sampler.warn_if_incomplete(call.switch_path)
        base = None
        if "over_s" in given:
            base = sampler.now()
            with call.work.waiting():
                time.sleep(given["over_s"])
        try:
            report = sampler.since(base, sampler.now(settle=base is None))
        except GuestError as error:
            raise faults.fault(faults.NO_GUEST, f"{error}.") from error
    return {
        **report_object(report),
        "rows": _rows(report),
        "shown_exits": report.shown_exits,
        "notes": notes,
    }


def _rows(report: Report) -> list[dict[str, Any]]:
    """Those of report_object(), with the whole that each share is a part of."""
    return [
        {**row_object(line, report.query.by), "whole_ns": line.whole_ns}
        for line in report.lines + report.halts
    ]
