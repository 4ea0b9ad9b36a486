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
from kvmlog.rpcserver.methods.files import open_statistics
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.records import VM
from kvmlog.rpcserver.methods.reply import plain
from kvmlog.stat.query import BY_WORDS, SORTS, Query, by_words, sort_of
from kvmlog.stat.report import Report
from kvmlog.stat.sampler import Sampler
from kvmlog.stat.serialize import report_object, row_object
from kvmlog.util.errors import StatisticsError

LEAST_OVER_S: Final = 0.1
MOST_OVER_S: Final = 60.0
DEFAULT_TOP: Final = 100
MOST_TOP: Final = 4_096
# Each call has a copy of all statistics, or two, for as long as it takes.
_AT_ONCE: Final = 8
# Those with over_s, which keep that for a time, have as many places apart, of which no one caller
# keeps all others out.
_WAITING_OF_ONE: Final = 4
_lock: Final = threading.Lock()  # covers both
_brief: Final[Counter[object]] = Counter()  # calls under way of each caller
_waiting: Final[Counter[object]] = Counter()

_STATISTICS: Final[Mapping[str, Check]] = {
    "by": params.texts(len(BY_WORDS), 16),
    "vm": VM,
    "sort": params.one_of(*SORTS),
    "top": params.whole(1, MOST_TOP),
    "halts": params.boolean,
    "over_s": params.seconds(LEAST_OVER_S, MOST_OVER_S),
}


def statistics(call: Call) -> dict[str, Any]:
    """kvmStatistics: one report."""
    asked = params.members(call.parameters, "kvmStatistics", _STATISTICS)
    try:
        by = by_words(asked.get("by", ["guest", "reason"]))
        view = Query(
            by,
            sort_of(by, asked.get("sort")),
            asked.get("top", DEFAULT_TOP),
            asked.get("halts", False),
        )
    except StatisticsError as error:
        raise faults.fault(faults.INVALID_PARAMETERS, f"kvmStatistics: {error}.") from error
    with _place(call.who, waits="over_s" in asked):
        return _reply(call, view, asked)


@contextlib.contextmanager
def _place(who: object, *, waits: bool) -> Iterator[None]:
    """One of the calls under way; Fault BUSY when there are enough, of all or of this caller."""
    under_way = _waiting if waits else _brief
    with _lock:
        if waits and under_way[who] >= _WAITING_OF_ONE:
            raise _busy(f"{_WAITING_OF_ONE} calls of yours of kvmStatistics with over_s")
        if under_way.total() >= _AT_ONCE:
            raise _busy(f"{_AT_ONCE} calls of kvmStatistics{' with over_s' if waits else ''}")
        under_way[who] += 1
    try:
        yield
    finally:
        with _lock:
            under_way[who] -= 1
            # Who has come once is not remembered forever.
            if not under_way[who]:
                del under_way[who]


def _busy(what: str) -> Fault:
    return faults.fault(faults.BUSY, f"{what} are under way; try again later.")


def _reply(call: Call, view: Query, asked: dict[str, Any]) -> dict[str, Any]:
    notes: list[str] = []
    with open_statistics(call) as reader:
        look = Sampler(reader, call.ring_path, view, asked.get("vm", ()), notes.append)
        look.warn_if_incomplete(call.switch_path)
        base = None
        if "over_s" in asked:
            base = look.now()
            time.sleep(asked["over_s"])
        try:
            told = look.since(base, look.now(settle=base is None))
        except GuestError as error:
            raise faults.fault(faults.NO_GUEST, f"{error}.") from error
    out = {**report_object(told), "rows": _rows(told), "shown_exits": told.shown_exits}
    return {name: plain(value) for name, value in {**out, "notes": notes}.items()}


def _rows(told: Report) -> list[dict[str, Any]]:
    """Those of report_object(), with the whole that each share is a part of."""
    return [
        {**row_object(line, told.query.by), "whole_ns": line.whole_ns}
        for line in told.lines + told.halts
    ]
