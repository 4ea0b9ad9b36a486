# SPDX-License-Identifier: GPL-2.0-or-later
"""A host that does not exist, second by second, as kvmlog top sees hosts; always the same."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from kvmlog.control.sampling import Sampling
from kvmlog.guests.model import Guest
from kvmlog.native import lib
from kvmlog.ring.reader import RingInfo
from kvmlog.ring.statistics.reader import NO_RETURN, OCTAVES, By, Row, StatisticsGuest
from kvmlog.stat import octaves
from kvmlog.stat.query import Query
from kvmlog.stat.report import GuestFigures, Line, Report
from kvmlog.top.model.health import Status
from kvmlog.top.model.scope import Wanted
from kvmlog.util.errors import KvmlogError
from kvmlog.util.units import NS_PER_S

_BEGAN_NS: Final = 1_795_203_962 * NS_PER_S  # 2026-11-20 19:46:02 UTC
_PID: Final = 4_242
_VMX: Final[int] = lib.KVMLOG_ISA_VMX
# Name, vCPUs, exits a second of each, by second in turn.
_GUESTS: Final = (
    ("web1", 4, (9_000, 9_500, 8_800)),
    ("web2", 4, (7_200, 7_000, 7_400)),
    ("db1", 8, (3_000, 3_100, 12_000, 11_000, 3_050)),
    ("build-runner", 2, (1_400, 4_400)),
    ("mail", 2, (640, 610)),
    ("desktop-win11", 4, (2_100, 2_150)),
    ("backup", 1, (90, 0, 0)),
)


@dataclass(frozen=True)
class _Kind:
    """A reason: its part of the exits, median and spread of its time, and who spends it."""

    reason: int
    part: float
    median_ns: float
    spread: float
    vmm: float = 0.0
    wait: float = 0.0
    halt: bool = False


_KINDS: Final = (
    _Kind(30, 0.12, 21_000, 0.6, vmm=0.82),  # IO_INSTRUCTION
    _Kind(48, 0.20, 2_600, 0.9, vmm=0.06, wait=0.03),  # EPT_VIOLATION
    _Kind(49, 0.10, 9_500, 0.5, vmm=0.45),  # EPT_MISCONFIG
    _Kind(32, 0.34, 1_050, 0.35),  # MSR_WRITE
    _Kind(1, 0.15, 1_400, 0.6, wait=0.2),  # EXTERNAL_INTERRUPT
    _Kind(10, 0.03, 1_300, 0.3),  # CPUID
    _Kind(12, 0.06, 900_000, 1.2, halt=True),  # HLT
)


@dataclass(frozen=True)
class SceneSample:
    """A second of the host."""

    second: int

    @property
    def status(self) -> Status:
        """Return what the bridge would say."""
        budget = {
            "limit_percent": 2.0,
            "percent": 0.21,
            "cpus": 16,
            "one_cpu_percent": 3.4,
            "span_s": 10.0,
        }
        bridge = {"state": "on", "budget": budget, "lease_s": 272.0}
        nothing: dict[str, Any] = dict.fromkeys((one.name for one in fields(RingInfo)), 0)
        return Status(bridge, None, RingInfo(**nothing), None)

    @property
    def roster(self) -> Sequence[Guest]:
        """Return the guests."""
        return [_guest(number) for number in range(len(_GUESTS))]

    @property
    def from_start(self) -> bool:
        """Return False: there are intervals only."""
        return False

    def report(self, wanted: Wanted) -> Report:
        """Return a report as the statistics would make it."""
        query = wanted.query
        groups: dict[Hashable, list[Row]] = {}
        shapes: dict[Hashable, list[tuple[int, ...]]] = {}
        for row, shape in self._rows():
            if wanted.guest is not None and row.guest != wanted.guest.id:
                continue
            key = _key(row, query.by)
            groups.setdefault(key, []).append(row)
            shapes.setdefault(key, []).append(shape)
        lines = [_line(rows, octaves.added(shapes[key])) for key, rows in groups.items()]
        return self._report(query, lines)

    def _rows(self) -> Iterator[tuple[Row, tuple[int, ...]]]:
        dice = random.Random(self.second)
        for number, (_, vcpus, rates) in enumerate(_GUESTS):
            rate = rates[(self.second + number) % len(rates)] * dice.uniform(0.93, 1.07)
            for vcpu in range(vcpus):
                for kind in _KINDS:
                    count = round(rate * kind.part / vcpus * dice.uniform(0.8, 1.2))
                    if count:
                        yield _made(number, vcpu, kind, count, dice)

    def _report(self, query: Query, lines: Sequence[Line]) -> Report:
        whole = sum(one.row.total_ns for one in lines if not one.row.halt)
        shared = [one._replace(whole_ns=0 if one.row.halt else whole) for one in lines]
        since = _BEGAN_NS + self.second * NS_PER_S
        exits = sum(one.row.count for one in lines)
        return Report(
            query=query,
            statistics_id="0c" * 16,
            since_realtime_ns=since,
            since_utc_offset_s=0,
            until_realtime_ns=since + NS_PER_S,
            until_utc_offset_s=0,
            age_ns=0,
            lines=[one for one in shared if not one.row.halt],
            halts=[one for one in shared if one.row.halt],
            left_out=0,
            guests=[_figures(number) for number in range(len(_GUESTS))],
            shown_exits=exits,
            exits=exits,
            overflow=0,
            overflow_rows=0,
            overflow_histogram=0,
            torn=0,
            forgotten=0,
            lost_records=0,
        )


class Scene:
    """The host as a source, which gives nothing by itself: its seconds are given by hand."""

    host: Final = "kvm-host-17"

    def __init__(self) -> None:
        self._closed = threading.Event()

    def sample(self, wanted: Sequence[Wanted], interval_s: float | None) -> SceneSample:
        """Wait until it is closed."""
        self._closed.wait()
        raise KvmlogError("the scene has been closed")

    def switch(self, on: bool, vm: Sequence[str], for_s: float | None, sampling: Sampling) -> None:
        """Do nothing: there is no bridge."""

    def close(self) -> None:
        """End the wait."""
        self._closed.set()


def _guest(number: int) -> Guest:
    name = _GUESTS[number][0]
    return Guest(_PID + number, 100 * number + 1, "qemu-system-x86", "qemu", name, True)


def _figures(number: int) -> GuestFigures:
    name = _GUESTS[number][0]
    one = StatisticsGuest(number, number + 1, _PID + number, 1, 0, "qemu", _VMX, 0, 0, 0)
    return GuestFigures(name, one, _guest(number), 0)


def _key(row: Row, by: By) -> Hashable:
    return (
        row.halt,
        row.guest if By.GUEST in by else None,
        row.vcpu if By.VCPU in by else None,
        row.reason if By.REASON in by else None,
    )


def _made(
    guest: int, vcpu: int, kind: _Kind, count: int, dice: random.Random
) -> tuple[Row, tuple[int, ...]]:
    # So many of them are enough for the shape.
    drawn = sorted(
        round(dice.lognormvariate(math.log(kind.median_ns), kind.spread))
        * (60 if dice.random() < 0.003 else 1)
        for _ in range(min(count, 400))
    )
    counts = [0] * OCTAVES
    for at in range(count):
        counts[octaves.octave_of(drawn[at * len(drawn) // count])] += 1
    total = sum(drawn) * count // len(drawn)
    parts = {"vmm_ns": round(total * kind.vmm), "wait_ns": round(total * kind.wait)}
    if kind.halt:
        parts["idle_ns"] = round(total * 0.97)
    values: dict[str, Any] = {
        **dict.fromkeys(Row._fields, 0),
        **parts,
        "guest": guest,
        "vcpu": vcpu,
        "isa": _VMX,
        "reason": kind.reason,
        "nested": False,
        "halt": kind.halt,
        "user_reason": NO_RETURN,
        "count": count,
        "total_ns": total,
        "kvm_ns": total - sum(parts.values()),
        "min_ns": drawn[0],
        "max_ns": drawn[-1],
        "rough": False,
    }
    for name, permille in (("p50_ns", 500), ("p90_ns", 900), ("p99_ns", 990), ("p999_ns", 999)):
        values[name] = drawn[min(len(drawn) - 1, len(drawn) * permille // 1_000)]
    return Row(**values), tuple(counts)


def _line(rows: Sequence[Row], counts: tuple[int, ...]) -> Line:
    sums = ("count", "total_ns", "kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
    row = rows[0]._replace(
        min_ns=min(one.min_ns for one in rows),
        max_ns=max(one.max_ns for one in rows),
        **{name: sum(getattr(one, name) for one in rows) for name in sums},
    )
    return Line(row, _GUESTS[row.guest][0], row.total_ns, 0, counts)
