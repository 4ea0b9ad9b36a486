# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics for tests of what is made of them: rows and guests by hand, in the real types."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from kvmlog.guests.model import Guest, encode
from kvmlog.guests.names import GuestNames
from kvmlog.native import lib
from kvmlog.ring.clocks import of_this_process
from kvmlog.ring.reader import boot_id
from kvmlog.ring.statistics.reader import NO_RETURN, OCTAVES, By, Row, Snapshot, StatisticsGuest
from kvmlog.stat import octaves
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from kvmlog.stat.report import Moment, Report, report

SECOND = 1_000_000_000
# 2026-11-20 19:46:02 UTC
SINCE_NS = 1_795_203_962 * SECOND
IO, HLT, NPF = 0x7B, 0x78, 0x400


def row(**fields: int) -> Row:
    """A group of SVM exits; `total_ns` is in KVM as far as no other part has it."""
    values = {
        **dict.fromkeys(Row._fields, 0),
        "isa": lib.KVMLOG_ISA_SVM,
        "reason": IO,
        "user_reason": NO_RETURN,
        "count": 1,
        "total_ns": 1_000,
        **fields,
    }
    rest = ("vmm_ns", "wait_ns", "idle_ns", "paused_ns")
    values["kvm_ns"] = values["total_ns"] - sum(values[name] for name in rest)
    for name in ("nested", "halt", "rough"):
        values[name] = bool(values[name])
    return Row(**values)


def guest(number: int, tgid: int, exits: int = 0, comm: str = "qemu-system-x86") -> StatisticsGuest:
    """A guest of the table, started `tgid` seconds after boot."""
    return StatisticsGuest(
        id=number,
        number=number,
        tgid=tgid,
        start_boottime_ns=tgid * SECOND,
        cgroup=0,
        comm=comm,
        isa=lib.KVMLOG_ISA_SVM,
        first_ns=0,
        last_ns=0,
        exits=exits,
    )


def named(pid: int, name: str, **fields: object) -> Guest:
    """The same process in the file of guests."""
    ticks_per_s = 100
    return Guest(pid, pid * ticks_per_s, "qemu-system-x86", "qemu", name, True, **fields)  # type: ignore[arg-type]


@dataclass
class Made:
    """Stand-in for a Snapshot, with rows that were grouped by hand."""

    made: Sequence[Row]
    guests: dict[int, StatisticsGuest]
    exits: int = 0
    overflow: int = 0
    overflow_rows: int = 0
    overflow_histogram: int = 0
    torn: int = 0
    forgotten: int = 0
    statistics_id: str = "0c" * 16
    since_ns: int = 5
    since_realtime_ns: int = SINCE_NS
    asked: list[object] = field(default_factory=list)

    def rows(
        self,
        by: By,
        base: object = None,
        guests: Collection[int] | None = None,
        regions: Sequence[tuple[int, int, int]] = (),
    ) -> list[Row]:
        """The rows as they are, of these guests."""
        self.asked.append((by, base))
        return [one for one in self.made if guests is None or one.guest in guests]

    def distributions(
        self,
        by: By,
        base: object = None,
        guests: Collection[int] | None = None,
        regions: Sequence[tuple[int, int, int]] = (),
    ) -> list[tuple[Row, tuple[int, ...]]]:
        """The same rows, all exits of each in the octave of its mean."""
        return [
            (one, octaves_of({one.total_ns // one.count: one.count}))
            for one in self.rows(by, base, guests, regions)
        ]


def octaves_of(durations: dict[int, int]) -> tuple[int, ...]:
    """Counts by octave of so many exits of each duration in ns."""
    counts = [0] * OCTAVES
    for ns, count in durations.items():
        counts[octaves.octave_of(ns)] += count
    return tuple(counts)


def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC meanwhile; a fixture yields from it."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def moment(made: Made, after_s: float = 1.0, lost_records: int | None = 0) -> Moment:
    """Return the moment so many seconds after the statistics began."""
    realtime_ns = SINCE_NS + round(after_s * SECOND)
    return Moment(cast(Snapshot, made), lost_records, realtime_ns, SECOND // 4, of_this_process())


def names(folder: Path, known: Sequence[Guest], made: Made) -> StatisticsNames:
    """Names from a real file of guests."""
    (folder / "ring.guests").write_bytes(encode(boot_id(), known))
    found = StatisticsNames(GuestNames(str(folder / "ring")))
    found.update(made.guests)
    return found


def reported(
    folder: Path,
    made: Made,
    view: Query | None = None,
    known: Sequence[Guest] = (),
    base: Moment | None = None,
) -> Report:
    """A report of all guests."""
    return report(moment(made), base, names(folder, known, made), view or Query())
