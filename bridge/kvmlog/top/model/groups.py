# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of the table: groups of a report, those of a guest or a vCPU joined to one each.

Halts are no work: a guest's or vCPU's figures leave them out, and count them beside. A line of
halts has their figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.guests.names import Guest
from kvmlog.ring.statistics.reader import DETAIL_OTHER, Row
from kvmlog.stat import octaves, words
from kvmlog.stat.report import Line, Report
from kvmlog.stat.serialize import detail_words
from kvmlog.top.model.scope import UNCOUNTED, GuestKey, Level, ReasonKey, Scope, reason_of
from kvmlog.util import units

ALL: Final = "all"
_SUMS: Final = ("count", "total_ns", "kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
_NOTHING: Final = Row._make([0] * len(Row._fields))


@dataclass(frozen=True)
class Group:
    """A line of the table: its figures are those of `line`, over so many seconds.

    key: the same as long as the line is there. halts, halt_ns: left out of the figures.
    """

    key: Hashable
    name: str
    line: Line
    seconds: float
    note: str = ""
    halts: int = 0
    halt_ns: int = 0
    guest: Guest | None = None  # of a line of guests, where the bridge knows it
    guest_key: GuestKey | None = None
    vcpu: int | None = None
    reason: ReasonKey | None = None

    @property
    def exits_per_s(self) -> float:
        """Exits a second."""
        return self.line.row.count / self.seconds if self.seconds > 0 else 0.0

    @property
    def halts_per_s(self) -> float:
        """Halts a second."""
        return self.halts / self.seconds if self.seconds > 0 else 0.0

    @property
    def ns_per_s(self) -> float:
        """Time in exits, of all vCPUs together, each second."""
        return self.line.row.total_ns / self.seconds if self.seconds > 0 else 0.0


def seconds_of(report: Report) -> float:
    """Return how long a time the report is of."""
    return max(0, report.until_realtime_ns - report.since_realtime_ns) / units.NS_PER_S


def groups_of(scope: Scope, report: Report, roster: Sequence[Guest] = ()) -> list[Group]:
    """Return the lines of the table: of all together first, where there is such a line.

    roster: guests that run, which have a line whether they had exits or not.
    """
    lines = [one for one in (*report.lines, *report.halts) if scope.has(one.row)]
    # Shares are of what the table shows.
    whole_ns = sum(one.row.total_ns for one in lines if not one.row.halt)
    lines = [one._replace(whole_ns=0 if one.row.halt else whole_ns) for one in lines]
    if scope.level is Level.GUESTS:
        return _guests(report, lines, roster)
    if scope.level is Level.VCPUS:
        return _vcpus(report, lines)
    make = _reason if scope.level is Level.REASONS else _detail
    return [make(one, seconds_of(report)) for one in lines]


def joined(lines: Sequence[Line]) -> Line:
    """Return lines as one; of several, percentiles are the ends of octaves."""
    if len(lines) == 1:
        return lines[0]
    if not lines:
        return Line(_NOTHING, "", 0, 0, octaves.NONE)
    rows = [one.row for one in lines]
    counts = octaves.added(one.octaves for one in lines)
    most = max(row.max_ns for row in rows)
    percentiles = {
        name: min(most, octaves.percentile_ns(counts, permille)) if most else 0
        for name, permille in (("p50_ns", 500), ("p90_ns", 900), ("p99_ns", 990), ("p999_ns", 999))
    }
    row = rows[0]._replace(
        nested=all(one.nested for one in rows),
        halt=all(one.halt for one in rows),
        min_ns=min(one.min_ns for one in rows),
        max_ns=most,
        rough=True,
        **{name: sum(getattr(one, name) for one in rows) for name in _SUMS},
        **percentiles,
    )
    part_ns = sum(one.part_ns for one in lines)
    return Line(row, lines[0].guest, part_ns, lines[0].whole_ns, counts)


def _split(lines: Iterable[Line]) -> tuple[list[Line], list[Line]]:
    """Return work and halts."""
    work: list[Line] = []
    halts: list[Line] = []
    for one in lines:
        (halts if one.row.halt else work).append(one)
    return work, halts


def _joined_group(
    key: Hashable, name: str, lines: Sequence[Line], seconds: float, **fields: Any
) -> Group:
    work, halts = _split(lines)
    return Group(
        key,
        name,
        joined(work),
        seconds,
        halts=sum(one.row.count for one in halts),
        halt_ns=sum(one.row.total_ns for one in halts),
        **fields,
    )


def _guests(report: Report, lines: Sequence[Line], roster: Sequence[Guest]) -> list[Group]:
    by_guest: dict[int, list[Line]] = {}
    for line in lines:
        by_guest.setdefault(line.row.guest, []).append(line)
    seconds = seconds_of(report)
    found = [_joined_group(ALL, ALL, lines, seconds)]
    for one in report.guests:
        pid = one.statistics.tgid
        # A process may have several guests, which only their numbers tell apart.
        key = ("guest", pid, one.label.partition("#")[2])
        gone = one.guest is not None and one.guest.ended_realtime_ns is not None
        found.append(
            _joined_group(
                key,
                one.label,
                by_guest.get(one.statistics.id, ()),
                seconds,
                note="ended" if gone else "",
                guest=one.guest,
                guest_key=GuestKey(one.statistics.id, pid),
            )
        )
    shown = {one.statistics.tgid for one in report.guests}
    names_used = Counter(one.name for one in roster)
    for guest in roster:
        if guest.pid not in shown:
            alone = not guest.named or names_used[guest.name] == 1
            name = guest.name if alone else f"{guest.name}:{guest.pid}"
            key = ("guest", guest.pid, "")
            guest_key = GuestKey(UNCOUNTED, guest.pid)
            found.append(_joined_group(key, name, (), seconds, guest=guest, guest_key=guest_key))
    return found


def _vcpus(report: Report, lines: Sequence[Line]) -> list[Group]:
    by_vcpu: dict[int, list[Line]] = {}
    for line in lines:
        by_vcpu.setdefault(line.row.vcpu, []).append(line)
    seconds = seconds_of(report)
    found = [_joined_group(ALL, "all vCPUs", lines, seconds)]
    for vcpu, mine in sorted(by_vcpu.items()):
        name = f"vCPU {words.vcpu(mine[0].row) or '?'}"
        found.append(_joined_group(("vcpu", vcpu), name, mine, seconds, vcpu=vcpu))
    return found


def _reason(line: Line, seconds: float) -> Group:
    reason = reason_of(line.row)
    name = words.reason(line.row) or "(no reason)"
    note = words.note(line, ())
    if line.row.halt and not note:
        note = "halt"
    return Group(("reason", reason), name, line, seconds, note, reason=reason)


def _detail(line: Line, seconds: float) -> Group:
    row = line.row
    other = row.detail_kind == DETAIL_OTHER
    name = detail_words(row) or "(no detail)"
    key = ("detail", row.detail_kind, None if other else row.detail)
    return Group(key, name, line, seconds, words.note(line, ()), reason=reason_of(row))
