# SPDX-License-Identifier: GPL-2.0-or-later
"""The first reading of a recording: how long it is, what is in it, and its longest exits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kvmlog.analysis.report.codes import CodeCounter
from kvmlog.analysis.report.columns import (
    Array,
    basic_reasons,
    ends_ns,
    exits_of,
    halts,
    records_of,
)
from kvmlog.exits.reasons.names import basic_reason
from kvmlog.native import lib
from kvmlog.ring.records import AnyRecord, Record, decode_record

# Longest exits that the page tells of, and how many of them one guest's reason may be.
OUTLIERS: Final = 24
_OF_ONE_REASON: Final = 4
# Candidates of each block.
_CANDIDATES: Final = 512
# Losses, switches, clocks, CPUs and guests that the page lists.
NOTES_MOST: Final = 500


@dataclass
class Scan:
    """What the first reading found.

    begun_ns, ended_ns: from the first exit to the last re-entry, CLOCK_MONOTONIC; 0 without exits.
    notes: the first NOTES_MOST records that are no exits; others: how many there are in all.
    outliers: raw records of the longest exits without halts, longest first.
    """

    exits: int = 0
    begun_ns: int = 0
    ended_ns: int = 0
    notes: list[AnyRecord] = field(default_factory=list)
    others: int = 0
    counter: CodeCounter = field(default_factory=CodeCounter)
    outliers: list[Record] = field(default_factory=list)
    _longest: list[Record] = field(default_factory=list)

    @property
    def length_ns(self) -> int:
        """Return how long the recording is by its exits, ns."""
        return self.ended_ns - self.begun_ns


def scan(blocks: Iterable[bytes]) -> Scan:
    """Read all blocks once."""
    found = Scan()
    for block in blocks:
        records = records_of(block)
        _take_notes(found, block, records)
        exits = exits_of(records)
        if not len(exits):
            continue
        begun, ended = int(exits["exit_ns"].min()), int(ends_ns(exits).max())
        found.begun_ns = min(found.begun_ns, begun) if found.exits else begun
        found.ended_ns = max(found.ended_ns, ended)
        found.exits += len(exits)
        found.counter.add(exits)
        _take_longest(found, exits)
    found.outliers = found._longest[:OUTLIERS]
    return found


def _take_notes(found: Scan, block: bytes, records: Array) -> None:
    others = np.flatnonzero(records["type"] != lib.KVMLOG_RECORD_EXIT)
    found.others += len(others)
    room = NOTES_MOST - len(found.notes)
    found.notes += [decode_record(block, at) for at in others[:room].tolist()]


def _take_longest(found: Scan, exits: Array) -> None:
    # A halt is as long as the guest had nothing to do.
    totals = np.where(halts(exits), np.uint64(0), exits["total_ns"])
    count = min(_CANDIDATES, len(totals))
    at = np.argpartition(totals, len(totals) - count)[len(totals) - count :]
    least = found._longest[-1].total_ns if len(found._longest) >= 4 * OUTLIERS else 0
    at = at[totals[at] > least]
    at = at[np.argsort(totals[at], kind="stable")[::-1]]
    chosen: Counter[tuple[int, ...]] = Counter()
    fresh = []
    raw, reasons = exits[at], basic_reasons(exits[at])
    for index in range(len(at)):
        key = (int(raw["guest"][index]), int(raw["isa"][index]), int(reasons[index]))
        chosen[key] += 1
        if chosen[key] <= _OF_ONE_REASON:
            record = decode_record(raw[index : index + 1].tobytes())
            assert isinstance(record, Record)
            fresh.append(record)
    if fresh:
        found._longest = _limited(sorted(found._longest + fresh, key=_order))


def _limited(records: list[Record]) -> list[Record]:
    chosen: Counter[tuple[int, int, int]] = Counter()
    kept = []
    for record in records:
        key = (record.guest, record.isa, basic_reason(record.isa, record.reason))
        chosen[key] += 1
        if chosen[key] <= _OF_ONE_REASON:
            kept.append(record)
    return kept[: 4 * OUTLIERS]


def _order(record: Record) -> tuple[int, int]:
    return -record.total_ns, record.exit_ns
