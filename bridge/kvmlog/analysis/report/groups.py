# SPDX-License-Identifier: GPL-2.0-or-later
"""The groups of `kvmlog stat` as tables of the page: the same rows, shares and percentiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from kvmlog.analysis.report.tables import Cell, Column, Table, count, share, time, words
from kvmlog.exits.decode import detail
from kvmlog.exits.format.notes import counted
from kvmlog.guests.names import GuestList
from kvmlog.native import lib
from kvmlog.recording.reader import Recording
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.records import NO_VCPU
from kvmlog.ring.statistics.reader import DETAIL_OTHER, By, Row, Snapshot
from kvmlog.stat import words as stat_words
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from kvmlog.stat.report import Line, Moment, Report, report
from kvmlog.stat.serialize import detail_words

# Rows of one table; what is left out is counted below it.
ROWS_MOST: Final = 400
_KEYS_MOST: Final = 40

_BY: Final = {
    "guest": By.GUEST,
    "reason": By.GUEST | By.REASON,
    "vcpu": By.GUEST | By.VCPU,
    "detail": By.GUEST | By.REASON | By.DETAIL,
    "place": By.REASON | By.DETAIL,
    "return": By.GUEST | By.RETURN,
}
# Kinds of details that have a table each, in this order.
PLACES: Final = (
    (lib.KVMLOG_DETAIL_PORT, "I/O ports"),
    (lib.KVMLOG_DETAIL_MSR, "Model-specific registers"),
    (lib.KVMLOG_DETAIL_GPA, "Guest physical addresses"),
    (lib.KVMLOG_DETAIL_CPUID, "CPUID leaves"),
    (lib.KVMLOG_DETAIL_HYPERCALL, "Hypercalls"),
)


@dataclass(frozen=True)
class Groups:
    """A recording's statistics, and its groups by each key of _BY."""

    snapshot: Snapshot
    names: StatisticsNames
    reports: dict[str, Report]

    def __getitem__(self, key: str) -> Report:
        return self.reports[key]

    def lines(self, key: str) -> list[Line]:
        """Return the groups by this key, halts last."""
        return self.reports[key].lines + self.reports[key].halts


def groups_of(recording: Recording, snapshot: Snapshot) -> Groups:
    """Count a recording by all keys."""
    known = StatisticsNames(GuestList(recording.guests.guests))
    known.update(snapshot.guests)
    clocks: Clocks = recording.clocks()
    until = clocks.at(recording.last_ns or recording.header.started_monotonic_ns)
    moment = Moment(snapshot, recording.lost_records, until.realtime_ns, 0, clocks)
    reports = {
        key: report(moment, None, known, Query(by, "vmm" if By.RETURN in by else "total"))
        for key, by in _BY.items()
    }
    return Groups(snapshot, known, reports)


def reason(row: Row) -> str:
    """Return the name of its reason, "-" where its exits have none."""
    return stat_words.reason(row) or "-"


def note(line: Line) -> str:
    """Return what is special about its exits: nested, halt."""
    halt = line.row.halt and not line.whole_ns
    found = (stat_words.note(line, ()), "halt" if halt else "")
    return ", ".join(one for one in found if one)


_Make: TypeAlias = Callable[[Line], Cell]
_Field: TypeAlias = tuple[Column, _Make]

_GUEST: Final[_Field] = (Column("Guest"), lambda line: words(line.guest))
_VCPU: Final[_Field] = (
    Column("vCPU", numeric=True),
    lambda line: Cell(
        stat_words.vcpu(line.row), None if line.row.vcpu == NO_VCPU else line.row.vcpu
    ),
)
_REASON: Final[_Field] = (Column("Reason"), lambda line: words(reason(line.row)))
_DETAIL: Final[_Field] = (Column("Detail"), lambda line: words(detail_words(line.row)))
_NOTE: Final[_Field] = (Column("Note"), lambda line: words(note(line)))
_RETURN: Final[_Field] = (
    Column("Return"),
    lambda line: words(stat_words.returned(line.row) or "none: the kernel handled it"),
)
_COUNT: Final[_Field] = (Column("Exits", numeric=True), lambda line: count(line.row.count))
_TOTAL: Final[_Field] = (
    Column("Time", numeric=True, hint="from the exits to the re-entries"),
    lambda line: time(line.row.total_ns),
)
_SHARE: Final[_Field] = (
    Column("Share", numeric=True, hint="of the time in exits of that guest, without halts"),
    lambda line: share(line.part_ns, line.whole_ns, bar=True),
)
_VMM_TIME: Final[_Field] = (Column("In VMM", numeric=True), lambda line: time(line.row.vmm_ns))


def _figure(title: str, of: Callable[[Row], int], hint: str = "") -> _Field:
    return Column(title, numeric=True, hint=hint), lambda line: time(of(line.row))


def _percentile(title: str, of: Callable[[Row], int]) -> _Field:
    hint = "so many percent of the exits took no longer"
    return (
        Column(title, numeric=True, hint=hint),
        lambda line: time(of(line.row), less=line.row.rough and line.row.total_ns > 0),
    )


def _part(title: str, of: Callable[[Row], int], hint: str) -> _Field:
    return (
        Column(title, numeric=True, hint=hint),
        lambda line: share(of(line.row), line.row.total_ns),
    )


_TIMES: Final[tuple[_Field, ...]] = (
    (
        Column("Mean", numeric=True),
        lambda line: time((line.row.total_ns + line.row.count // 2) // max(1, line.row.count)),
    ),
    _percentile("P50", lambda row: row.p50_ns),
    _percentile("P90", lambda row: row.p90_ns),
    _percentile("P99", lambda row: row.p99_ns),
    _percentile("P99.9", lambda row: row.p999_ns),
    _figure("Max", lambda row: row.max_ns),
)
PARTS: Final[tuple[tuple[str, Callable[[Row], int], str], ...]] = (
    ("KVM", lambda row: row.kvm_ns, "KVM in the host's kernel"),
    ("VMM", lambda row: row.vmm_ns, "the guest's process, as QEMU"),
    ("Wait", lambda row: row.wait_ns, "ready to run, but without a CPU"),
    ("Idle", lambda row: row.idle_ns, "halted: the guest had nothing to do"),
    ("Paused", lambda row: row.paused_ns, "held by the VMM, as virsh suspend does"),
)
_PARTS: Final[tuple[_Field, ...]] = tuple(_part(*one) for one in PARTS)


def guests_table(groups: Groups) -> Table:
    """Return what each guest's exits took in all."""
    fields = (_GUEST, _NOTE, _COUNT, _TOTAL, _share_of_all(), *_TIMES, *_PARTS)
    caption = "Guests: exits, time in them, and who spent it"
    return _table("guests", caption, groups, "guest", fields)


def reasons_table(groups: Groups) -> Table:
    """Return each guest's reasons with shares, percentiles and who spent the time."""
    fields = (_GUEST, _REASON, _NOTE, _COUNT, _TOTAL, _SHARE, *_TIMES, *_PARTS)
    return _table("reasons", "Exits by guest and reason", groups, "reason", fields)


def vcpus_table(groups: Groups) -> Table:
    """Return the vCPUs of each guest."""
    fields = (_GUEST, _VCPU, _NOTE, _COUNT, _TOTAL, _SHARE, *_TIMES, *_PARTS)
    return _table("vcpus", "Exits by vCPU", groups, "vcpu", fields)


def details_table(groups: Groups) -> Table:
    """Return guest, reason and detail: what the icicle shows."""
    fields = (_GUEST, _REASON, _DETAIL, _NOTE, _COUNT, _TOTAL, _SHARE, *_TIMES, *_PARTS)
    return _table("details", "Exits by guest, reason and detail", groups, "detail", fields)


def returns_table(groups: Groups) -> Table:
    """Return why KVM returned to the guest's process, and what that took."""
    shared = Column("Share", numeric=True, hint="of that guest's time in the VMM")
    fields: tuple[_Field, ...] = (
        _GUEST,
        _RETURN,
        _NOTE,
        _COUNT,
        _TOTAL,
        _VMM_TIME,
        (shared, _SHARE[1]),
        _figure("Paused", lambda row: row.paused_ns),
    )
    return _table("returns", "Returns to the VMM (KVM_EXIT_*)", groups, "return", fields)


def place_tables(groups: Groups) -> list[Table]:
    """Return the ports, registers, addresses, leaves and hypercalls, a table for each kind."""
    found = []
    for kind, title in PLACES:
        lines = [
            line
            for line in groups.lines("place")
            if detail.detail_kind(line.row.isa, line.row.reason) == kind and detail_words(line.row)
        ]
        # The detail that is first in time leads, what is together under "other" comes last.
        lines.sort(key=lambda line: line.row.detail_kind == DETAIL_OTHER)
        fields = (_DETAIL, _REASON, _NOTE, _COUNT, _TOTAL, _share_of_all(), *_TIMES, *_PARTS)
        key = f"places-{detail.detail_kind_name(kind)}"
        if lines:
            found.append(_of_lines(key, title, lines, fields, _KEYS_MOST))
    return found


def _share_of_all() -> _Field:
    return Column("Share", numeric=True, hint="of the time in all exits, without halts"), _SHARE[1]


def _table(key: str, caption: str, groups: Groups, by: str, fields: Sequence[_Field]) -> Table:
    return _of_lines(key, caption, groups.lines(by), fields, ROWS_MOST)


def _of_lines(
    key: str, caption: str, lines: Sequence[Line], fields: Sequence[_Field], most: int
) -> Table:
    # A column without a word in it says nothing.
    shown = lines[:most]
    cells = [[make(line) for _, make in fields] for line in shown]
    kept = [
        at
        for at, (column, _) in enumerate(fields)
        if column.title not in ("Note", "Paused", "Wait") or any(row[at].text for row in cells)
    ]
    left = lines[most:]
    rest = sum(line.row.count for line in left)
    words_left = f"{counted(len(left), 'more group')} with {counted(rest, 'exit')} not shown."
    return Table(
        key,
        caption,
        [fields[at][0] for at in kept],
        [[row[at] for at in kept] for row in cells],
        words_left if left else "",
    )
