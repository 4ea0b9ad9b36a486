# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat --csv`: the figures of kvmlog.stat.serialize, one line per group."""

from __future__ import annotations

import csv
import io
from typing import Final

from kvmlog.ring.statistics.reader import By, Row
from kvmlog.stat.report import Line, Report
from kvmlog.stat.serialize import row_object

_SPAN: Final = ("since_realtime_ns", "until_realtime_ns")


def csv_lines(report: Report, header: bool = True) -> list[str]:
    """Return lines without newlines: the header, if requested, and one line per group.

    The first two columns are the time covered (CLOCK_REALTIME, ns). No value: empty; truth: 1, 0.
    """
    span = (report.since_realtime_ns, report.until_realtime_ns)
    columns = _columns(report.query.by)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow([*_SPAN, *columns])
    for line in report.lines + report.halts:
        row = row_object(line, report.query.by)
        values = [int(v) if isinstance(v := row[name], bool) else v for name in columns]
        writer.writerow([*span, *values])
    return text.getvalue().splitlines()


def _columns(by: By) -> list[str]:
    empty = Row._make([0] * len(Row._fields))
    return list(row_object(Line(empty, "", 0, 0), by))
