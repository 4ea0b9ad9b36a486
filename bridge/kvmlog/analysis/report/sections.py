# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of the page that are neither groups nor findings, as tables and sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.analysis.report import durations
from kvmlog.analysis.report.gather import Model
from kvmlog.analysis.report.series import INTERVALS, is_same
from kvmlog.analysis.report.tables import Cell, Column, Table, count, rate, time, words
from kvmlog.analysis.report.thinning import EXITS_MOST
from kvmlog.exits.format.lines import exit_cells
from kvmlog.exits.format.notes import counted, note_words
from kvmlog.native import lib
from kvmlog.ring.records import LossRecord, Record
from kvmlog.stat import figures
from kvmlog.util import units
from kvmlog.util.units import NS_PER_S


@dataclass(frozen=True)
class Tile:
    """A figure at the top of the page; more: a few words below it."""

    title: str
    text: str
    more: str = ""


@dataclass(frozen=True)
class Outlier:
    """One of the longest exits.

    link: place of its track, ns since the beginning and its length, as JSON for page/timeline.js;
    None: its vCPU has no track.
    """

    headline: str
    link: str | None
    table: Table


def when(model: Model, monotonic_ns: int) -> str:
    """Return local date and time of the traced host, to the microsecond."""
    wall = model.clocks.at(monotonic_ns)
    return units.local_time(*wall).strftime("%Y-%m-%d %H:%M:%S.%f")


def tiles(model: Model) -> Iterator[Tile]:
    """Yield the figures that one looks at first."""
    exits, seconds = model.scan.exits, model.over_ns / NS_PER_S
    yield Tile("Recorded", units.duration(model.over_ns), f"from {begun(model)}")
    yield Tile("Exits", f"{exits:,}", f"{rate(exits / seconds).text} a second")
    rows = [line.row for line in model.groups["guest"].lines]
    guests = len(model.groups["guest"].guests)
    vcpus = len({(line.row.guest, line.row.vcpu) for line in model.groups.lines("vcpu")})
    yield Tile("Guests", f"{guests:,}", counted(vcpus, "vCPU"))
    spent = sum(row.total_ns for row in rows)
    share = figures.share(spent, model.over_ns * vcpus)
    yield Tile("Time in exits", units.duration(spent), f"{share or '0%'} of their vCPUs' time")
    if model.scan.outliers:
        longest = model.scan.outliers[0]
        cells = exit_cells(longest)
        yield Tile("Longest exit", cells.total, f"{cells.reason}, {_guest(model, longest)}")
    lost = model.lost_records
    yield Tile("Lost", f"{lost:,}", "records" if lost else "records: all are here")


def intervals_table(model: Model) -> Table:
    """Return exits, percentiles and the longest of each twentieth of the recording."""
    columns = (
        Column("From"),
        Column("Exits", numeric=True, hint="halts included"),
        Column("Exits/s", numeric=True, hint="halts included"),
        Column("Without halts", numeric=True),
        *(Column(name, numeric=True, hint="within 1.6 %, without halts") for name, _ in _PER_MILLE),
        Column("Max", numeric=True),
    )
    rows = []
    length = max(1, model.scan.length_ns)
    for number in range(INTERVALS if model.scan.exits else 0):
        fine = model.series.fine[number]
        begun = model.scan.begun_ns + number * length // INTERVALS
        exits = int(model.series.counts[number])
        rows.append(
            (
                Cell(when(model, begun), number),
                count(exits),
                rate(exits * INTERVALS * NS_PER_S / length),
                count(int(fine.sum())),
                *(time(durations.percentile_ns(fine, part)) for _, part in _PER_MILLE),
                time(int(model.series.longest[number])),
            )
        )
    return Table("intervals", "Handling time over time, without halts", columns, rows)


_PER_MILLE: Final = (("P50", 500), ("P90", 900), ("P99", 990), ("P99.9", 999))


def timeline_words(model: Model) -> str:
    """Return which exits the page has one by one, and how exact their times are."""
    line = model.timeline
    if not line.recorded:
        return "There is no exit in the recording."
    exact = "to the nanosecond" if line.tick_ns == 1 else f"to {units.duration(line.tick_ns)}"
    if line.exits == line.recorded:
        return f"All {counted(line.recorded, 'exit')} are here one by one, {exact}."
    return (
        f"{line.exits:,} of {counted(line.recorded, 'exit')} are here one by one, {exact}: those "
        "around the longest ones, and of each small part of each vCPU's time the longest and the "
        f"shortest (at most {EXITS_MOST:,}). Tables and heat map count all of them."
    )


def outliers(model: Model) -> Iterator[Outlier]:
    """Yield the longest exits with those of their vCPU before and after them."""
    tracks = {track: number for number, (track, _) in enumerate(model.timeline.tracks)}
    for number, (record, around) in enumerate(
        zip(model.scan.outliers, model.series.around, strict=True), 1
    ):
        cells = exit_cells(record)
        track = model.track(record)
        place = tracks.get(track)
        link = None
        if place is not None:
            since_ns = record.exit_ns - model.scan.begun_ns
            link = json.dumps([place, since_ns, record.total_ns])
        what = " ".join(word for word in (cells.reason, cells.detail) if word)
        yield Outlier(
            f"{cells.total}: {what}, {track.guest} vCPU {cells.vcpu}, "
            f"{when(model, record.exit_ns)}",
            link,
            _around_table(model, number, record, around),
        )


def _around_table(model: Model, number: int, outlier: Record, around: Sequence[Record]) -> Table:
    columns = (
        Column("Exit at"),
        Column("CPU", numeric=True),
        Column("Reason"),
        Column("Detail"),
        Column("Total", numeric=True),
        Column("In VMM", numeric=True),
        Column("Halted", numeric=True),
        Column("Notes"),
        Column("In the guest before", numeric=True, hint="since the re-entry before"),
    )
    rows = []
    before: Record | None = None
    for record in around:
        cells = exit_cells(record)
        ran = "" if before is None else _ran(record.exit_ns - before.exit_ns - before.total_ns)
        mark = "→ " if is_same(record, outlier) else ""
        rows.append(
            (
                Cell(mark + when(model, record.exit_ns), record.exit_ns),
                words(cells.cpu),
                words(cells.reason),
                words(cells.detail),
                Cell(cells.total, record.total_ns),
                Cell(cells.vmm, record.vmm_ns),
                words(cells.halt),
                words(cells.notes),
                words(ran),
            )
        )
        before = record
    track = model.track(outlier)
    caption = f"{number}: exits of {track.guest} around that of {when(model, outlier.exit_ns)}"
    return Table(f"outlier-{number}", caption, columns, rows)


def _ran(ns: int) -> str:
    return units.duration(ns) if ns >= 0 else ""


def losses(model: Model) -> list[str]:
    """Return what is missing in the recording, and in its tables, a sentence each."""
    found = []
    lost = model.lost_records
    if lost:
        found.append(f"{counted(lost, 'record')} did not reach the recording.")
    else:
        found.append("No record was lost on the way into the recording.")
    noted = [one for one in model.scan.notes if isinstance(one, LossRecord)]
    if noted:
        unknown = sum(1 for one in noted if not one.lost)
        messages = sum(one.lost for one in noted if one.cause == lib.KVMLOG_LOSS_MESSAGE)
        records = sum(one.lost for one in noted if one.cause != lib.KVMLOG_LOSS_MESSAGE)
        parts = [counted(records, "record")]
        parts += [counted(messages, "message")] if messages else []
        parts += [f"{counted(unknown, 'time')} an unknown number"] if unknown else []
        found.append(f"Before that, the source lost {', and '.join(parts)}: the events below.")
    report = model.groups["reason"]
    missing = (
        (report.overflow, "exit is", "exits are", "in no group"),
        (report.overflow_rows, "exit is", "exits are", "in the groups by guest and reason only"),
        (report.overflow_histogram, "exit is", "exits are", "in no percentile"),
        (report.forgotten, "exit is", "exits are", "of guests that had to make room"),
    )
    for number, one, more, why in missing:
        if number:
            found.append(f"{number:,} {one if number == 1 else more} {why}.")
    return found


def events_table(model: Model) -> Table:
    """Return the records that are no exits, in the order of the recording."""
    rows = []
    for record in model.scan.notes:
        told = note_words(record, model.labels.guest(record))
        rows.append((Cell(when(model, record.ns), record.ns), words(told)))
    left = model.scan.others - len(rows)
    return Table(
        "events",
        "Losses, guests, switches, clocks and CPUs while it was recorded",
        (Column("At"), Column("Event")),
        rows,
        f"{counted(left, 'more event')} not shown." if left else "",
    )


def machine_table(model: Model) -> Table:
    """Return where and how it was recorded."""
    header, end = model.header, model.end
    facts = [
        ("Host", header.host),
        ("Kernel", header.kernel),
        ("Machine", header.machine),
        ("Virtualisation", _ISAS.get(header.isa, header.isa)),
        ("Source", _SOURCES.get(header.source, header.source)),
        ("Boot", header.boot_id),
        ("Zone", _zone(model)),
        ("Recorded by", f"kvmlog {header.kvmlog_version}, schema {header.schema_version}"),
        ("Selection", header.selection or "all exits"),
        ("Command", header.command),
        ("Kept for", header.event),
        ("File", model.path.rsplit("/", 1)[-1]),
        ("Begun", begun(model)),
        ("Ended", "cut short" if end is None else f"{_ended(model)}: {end.reason}"),
        ("Records", f"{model.records:,}, of which {counted(model.scan.exits, 'exit')}"),
        ("Lost", f"{model.lost_records:,}"),
    ]
    rows = [(words(name), words(value)) for name, value in facts if value]
    return Table(
        "machine", "Where and how it was recorded", (Column("What"), Column("Value")), rows
    )


_ISAS: Final = {"vmx": "VMX (Intel)", "svm": "SVM (AMD)", "arm64": "arm64", "none": "not known"}
_SOURCES: Final = {"kmod": "kvmlog.ko", "bpf": "BPF programs", "none": "none"}


def begun(model: Model) -> str:
    """Return local date and time of the traced host when the recording began."""
    return units.date_time(*model.clocks.of(model.header.started_realtime_ns))


def _zone(model: Model) -> str:
    """Return the zone that times of the page are in."""
    offset_s = model.clocks.of(model.header.started_realtime_ns).utc_offset_s
    name = f"{model.header.zone}, " if offset_s == model.header.utc_offset_s else ""
    return f"{name}UTC{offset_s / 3_600:+g} h"


def _ended(model: Model) -> str:
    assert model.end is not None
    wall = model.clocks.of(model.end.ended_realtime_ns)
    return units.date_time(*wall)


def _guest(model: Model, record: Record) -> str:
    return model.track(record).guest
