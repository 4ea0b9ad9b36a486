# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat --hist` and `--heat`: distributions of durations, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TextIO

from kvmlog.cli import table
from kvmlog.cli.stat import tables
from kvmlog.cli.table import Block, Words
from kvmlog.exits.format.notes import counted
from kvmlog.ring.statistics.reader import By
from kvmlog.stat import octaves, plots, words
from kvmlog.stat.report import Line, Report
from kvmlog.stat.serialize import detail_words
from kvmlog.util import units
from kvmlog.util.printable import printable

# What stands beside the stars: bounds, a count of seven digits, frame.
_BESIDE: Final = 35
_FEWEST_STARS: Final = 10
_EXITS_CELLS: Final = 9


def blocks(report: Report, width: int | None) -> list[Block]:
    """Return a heading, a histogram of each group, those of halts apart, and what is missing.

    width: cells of the terminal; None: there is none.
    """
    room = plots.STARS if width is None else width - _BESIDE
    stars = max(_FEWEST_STARS, min(plots.STARS, room))
    found: list[Block] = [tables.heading(report)]
    gone = words.ended(report)
    for title, lines in (("", report.lines), ("halts:", report.halts)):
        if title and lines:
            found += ["", title]
        for line in lines:
            found += ["", _summary(line, report.query.by, gone)]
            found += plots.histogram(line.octaves, stars)
    if report.left_out:
        found += ["", f"and {counted(report.left_out, 'group')} more"]
    missing = words.missing(report)
    return [*found, "", missing] if missing else found


def name(line: Line, by: By) -> str:
    """Return what a group is by, in words: "web1  vcpu 2  npf"."""
    row = line.row
    parts = (
        (By.GUEST, line.guest),
        (By.VCPU, f"vcpu {words.vcpu(row)}"),
        (By.REASON, words.reason(row)),
        (By.DETAIL, detail_words(row)),
    )
    return table.GAP.join(part for flag, part in parts if flag in by and part) or "all guests"


def _summary(line: Line, by: By, gone: frozenset[int]) -> str:
    row = line.row
    times = (("min", row.min_ns), ("mean", row.total_ns // max(1, row.count)), ("max", row.max_ns))
    percentiles = (("p50", row.p50_ns), ("p99", row.p99_ns), ("p99.9", row.p999_ns))
    rough = "<" if row.rough else ""
    figures = [f"{title} {units.duration(ns)}" for title, ns in times]
    figures[2:2] = [f"{title} {rough}{units.duration(ns)}" for title, ns in percentiles]
    note = words.note(line, gone)
    begin = name(line, by) + (f" ({note})" if note else "")
    return f"{begin}: {counted(row.count, 'exit')}, {', '.join(figures)}"


class HeatPrinter:
    """A printer of a heat map that grows: for each report a line, or, `apart`, one for each group.

    words: as Words.
    """

    def __init__(self, stream: TextIO, words: Words, apart: bool) -> None:
        self._stream = stream
        self._words = words
        self._apart = apart
        self._begun = False

    def __call__(self, report: Report) -> None:
        table.write(map(printable, self._lines(report)), self._stream)

    def _lines(self, report: Report) -> Iterator[str]:
        if not self._begun:
            self._begun = True
            without = "" if report.query.halts else "; without halts (--halts)"
            yield f"{plots.HEAT_LEGEND}{without}"
            yield f"{'time':<8}  {'exits':>{_EXITS_CELLS}}  |{plots.axis()}|"
        clock = units.date_time(report.until_realtime_ns, report.until_utc_offset_s)[-8:]
        rows = [(name(line, report.query.by), line.octaves) for line in report.lines]
        if not self._apart:
            rows = [("", octaves.added(counts for _, counts in rows))]
        for label, counts in rows:
            exits = f"{sum(counts):>{_EXITS_CELLS},}"
            yield f"{clock}  {exits}  |{plots.heat(counts)}|  {label}".rstrip()
        missing = words.missing(report)
        if missing:
            yield self._words(missing)
