# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat --csv`: the figures of kvmlog.stat.serialize, one line per group."""

from __future__ import annotations

from typing import Final

from kvmlog.ring.statistics.reader import OCTAVES, By, Row
from kvmlog.stat import octaves
from kvmlog.stat.report import Line, Report
from kvmlog.stat.serialize import report_object, row_object
from kvmlog.util.spreadsheet import csv_line

_SPAN: Final = ("since_realtime_ns", "until_realtime_ns")
_SPAN_TEXT: Final = ("since", "until")


def csv_lines(report: Report, header: bool = True) -> list[str]:
    """Return lines without newlines: the header, if requested, and one line per group.

    The first two columns are the time covered (CLOCK_REALTIME, ns), the last two the same as text:
    spreadsheets keep fifteen digits of a number. With octaves there is a column for each, by its
    shortest duration. No value: empty; truth: 1, 0.
    """
    whole = report_object(report)
    before, after = ([whole[name] for name in names] for names in (_SPAN, _SPAN_TEXT))
    columns = _columns(report.query.by)
    spans = [f"from_{octaves.least_ns(one)}_ns" for one in range(OCTAVES)]
    spans = spans if report.query.octaves else []
    lines = [csv_line([*_SPAN, *columns, *spans, *_SPAN_TEXT])] if header else []
    for row in whole["rows"]:
        counts = octaves.whole(row.get("octaves", ())) if spans else ()
        lines.append(csv_line([*before, *(row[name] for name in columns), *counts, *after]))
    return lines


def _columns(by: By) -> list[str]:
    empty = Row._make([0] * len(Row._fields))
    return list(row_object(Line(empty, "", 0, 0), by))
