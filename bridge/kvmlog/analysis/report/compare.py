# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed from one recording to another: per second, since they need not be equally long.

Guests are the same by UUID, else by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.analysis.report.groups import Groups, note, reason
from kvmlog.analysis.report.tables import NOTHING, Cell, Column, Table, rate, time, words
from kvmlog.ring.statistics.reader import Row
from kvmlog.stat.report import Line
from kvmlog.util import units
from kvmlog.util.units import NS_PER_S

ROWS_MOST: Final = 200
_SENTENCES: Final = 6
# Less is not worth a sentence: of one vCPU's time, and as a factor.
_LEAST_OF_SECOND_NS: Final = 1_000_000
_LEAST_FACTOR: Final = 1.2


@dataclass(frozen=True)
class Side:
    """One recording: its groups, and how long it is."""

    groups: Groups
    over_ns: int

    def per_s(self, amount: int) -> float:
        """Return an amount of the recording per second."""
        return amount * NS_PER_S / max(1, self.over_ns)


@dataclass(frozen=True)
class Change:
    """A guest's reason in both recordings; None: it is not in that one."""

    guest: str
    reason: str
    note: str
    halt: bool
    before: Row | None
    after: Row | None
    exits: tuple[float, float]  # per second, before and after
    spent_ns: tuple[float, float]  # in exits, per second

    @property
    def spent_change_ns(self) -> float:
        """Return how much more time exits took per second, ns."""
        return self.spent_ns[1] - self.spent_ns[0]


@dataclass(frozen=True)
class Comparison:
    """What changed, the greatest change of time first; left_out: groups beyond the table."""

    sentences: Sequence[str]
    table: Table
    changes: Sequence[Change]


def compare(before: Side, after: Side) -> Comparison:
    """Return what changed from one recording to the other."""
    changes = sorted(
        _changes(before, after),
        key=lambda one: (one.halt, -abs(one.spent_change_ns), one.guest, one.reason),
    )
    return Comparison(list(_sentences(changes)), _table(changes), changes)


def _changes(before: Side, after: Side) -> Iterator[Change]:
    old = _rows(before.groups)
    new = _rows(after.groups)
    for key in dict.fromkeys([*new, *old]):
        pair = (old.get(key), new.get(key))
        line = pair[1] or pair[0]
        assert line is not None
        counts = tuple(one.row.count if one else 0 for one in pair)
        times = tuple(one.row.total_ns if one else 0 for one in pair)
        yield Change(
            guest=line.guest,
            reason=reason(line.row),
            note=note(line),
            halt=line.row.halt,
            before=pair[0].row if pair[0] else None,
            after=pair[1].row if pair[1] else None,
            exits=(before.per_s(counts[0]), after.per_s(counts[1])),
            spent_ns=(before.per_s(times[0]), after.per_s(times[1])),
        )


def _rows(groups: Groups) -> dict[tuple[object, ...], Line]:
    found: dict[tuple[object, ...], Line] = {}
    for line in groups.lines("reason"):
        guest, row = groups.names.guests.get(line.row.guest), line.row
        # Of several VMs in one process each has its number in its label.
        who = (guest.uuid or guest.name if guest else line.guest, line.guest.partition("#")[2])
        found[who, row.isa, row.reason, row.nested, row.handler, row.halt] = line
    return found


def _sentences(changes: Sequence[Change]) -> Iterator[str]:
    told = 0
    for one in changes:
        if told == _SENTENCES:
            return
        small = abs(one.spent_change_ns) < _LEAST_OF_SECOND_NS
        if one.halt or small or not _differs(*one.spent_ns):
            continue
        told += 1
        what = f"{one.guest}: {one.reason}"
        spent = " → ".join(units.duration(round(ns)) for ns in one.spent_ns)
        exits = " → ".join(rate(each).text for each in one.exits)
        if one.before is None or one.after is None:
            new = "is new" if one.before is None else "is gone"
            yield f"{what} {new}: {exits} exits a second, which take {spent} of each second."
            continue
        way = "more" if one.spent_change_ns > 0 else "less"
        yield (
            f"{what} takes {way} time ({_factor(*one.spent_ns)}): {spent} of each second, "
            f"{exits} exits a second, P99 {units.duration(one.before.p99_ns)} → "
            f"{units.duration(one.after.p99_ns)}."
        )
    if not told:
        yield "No reason of any guest takes noticeably more or less time than before."


def _differs(old: float, new: float) -> bool:
    low, high = sorted((old, new))
    return high >= _LEAST_FACTOR * low


def _factor(old: float, new: float) -> str:
    """Return a change in words: "+50 %", "-20 %", "3.1 times"."""
    if not old or new / old >= 3:
        return f"{new / old:.1f} times" if old else "new"
    percent = round((new - old) * 100 / old)
    return f"{percent:+} %" if percent else "0 %"


def _table(changes: Sequence[Change]) -> Table:
    columns = (
        Column("Guest"),
        Column("Reason"),
        Column("Note"),
        Column("Exits/s before", numeric=True),
        Column("Exits/s after", numeric=True),
        Column("Exits change", numeric=True),
        Column("Time/s before", numeric=True, hint="in exits, of each second"),
        Column("Time/s after", numeric=True, hint="in exits, of each second"),
        Column("Time change", numeric=True),
        Column("P99 before", numeric=True),
        Column("P99 after", numeric=True),
    )
    rows = [
        (
            words(one.guest),
            words(one.reason),
            words(one.note),
            *(rate(each) for each in one.exits),
            _change(*one.exits),
            *(_spent(each) for each in one.spent_ns),
            _change(*one.spent_ns),
            time(one.before.p99_ns) if one.before else NOTHING,
            time(one.after.p99_ns) if one.after else NOTHING,
        )
        for one in changes[:ROWS_MOST]
    ]
    left = len(changes) - len(rows)
    return Table(
        "changes",
        "Exits by guest and reason, before and after, the greatest change of time first",
        columns,
        rows,
        f"{left:,} more groups not shown." if left else "",
    )


def _spent(ns: float) -> Cell:
    return Cell(units.duration(round(ns)) if ns else "", ns)


def _change(old: float, new: float) -> Cell:
    if not old and not new:
        return NOTHING
    return Cell(_factor(old, new) if new else "gone", (new - old) / old if old else None)
