# SPDX-License-Identifier: GPL-2.0-or-later
"""A poll as blocks of a table, as JSON, as CSV."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from kvmlog.cli import table
from kvmlog.cli.table import Block
from kvmlog.cli.vms.columns import vms_table
from kvmlog.cli.vms.figures import NAMES, Figures, figures, ordered
from kvmlog.cli.vms.poll import Poll
from kvmlog.exits.format.notes import counted
from kvmlog.util import units
from kvmlog.util.spreadsheet import csv_line
from kvmlog.vmstats.views import collector, vmstats

_TIME: Final = "realtime_ns"
_TIME_TEXT: Final = "time"


def printer(args: argparse.Namespace, stack: contextlib.ExitStack) -> Callable[[Poll], None]:
    """Return a function that prints a poll in the requested form."""
    if args.json:
        return lambda poll: table.write([json.dumps(poll_object(poll, args.sort))], sys.stdout)
    if args.csv:
        header = True

        def print_csv(poll: Poll) -> None:
            nonlocal header
            table.write(csv_lines(poll, args.sort, header), sys.stdout)
            header = False

        return print_csv
    if args.interval is None:
        return lambda poll: table.show(*blocks(poll, args.sort))
    if sys.stdout.isatty():
        redraw = stack.enter_context(table.redrawn(sys.stdout))
        return lambda poll: redraw(blocks(poll, args.sort))
    return lambda poll: table.show(*blocks(poll, args.sort), "")


def blocks(poll: Poll, sort: str) -> list[Block]:
    """Return a heading, and the table where there is a VM."""
    rows = _rows(poll, sort)
    return [heading(poll, rows), *([vms_table(rows)] if rows else [])]


def heading(poll: Poll, rows: list[Figures]) -> str:
    """Return "2026-11-30 13:50:12: 3 VMs, 2 active, 1 hung; exits of 1.00s"; it fits 80.

    Without any VM, where a connection is down: "0 VMs known; 0 of 1 connections answer".
    """
    time = units.date_time(*poll.clocks.of(poll.now.realtime_ns))
    answering = poll.snapshot.collector.answering
    if not rows and answering:
        return f"{time}: 0 VMs known; {answering}"
    words = [counted(len(rows), "VM")]
    if rows:
        words.append(f"{sum(line.vm.sample.active for line in poll.lines)} active")
    hung = sum(row["hung"] for row in rows)
    if hung:
        words.append(f"{hung} hung")
    over_s = poll.exits_over_s
    exits = (
        "exits are not counted"
        if over_s is None
        else f"exits of {units.duration(round(over_s * units.NS_PER_S))}"
    )
    return f"{time}: {', '.join(words)}; {exits}"


def poll_object(poll: Poll, sort: str) -> dict[str, Any]:
    """Return one JSON-ready object.

    `collector` and the `sample` of each VM are those of docs/schemas (collector, vmstats).
    """
    samples = {
        (vm.sample.uri, vm.sample.uuid): vmstats.document(replace(vm, rates=line.rates), poll.now)
        for line in poll.lines
        for vm in (line.vm,)
    }
    wall = poll.clocks.of(poll.now.realtime_ns)
    return {
        _TIME_TEXT: units.iso_time(*wall),
        _TIME: wall.realtime_ns,
        "utc_offset_s": wall.utc_offset_s,
        "exits_interval_s": poll.exits_over_s,
        "problems": list(poll.problems),
        "collector": collector.document(poll.snapshot, poll.now),
        "vms": [{**row, "sample": samples[row["uri"], row["uuid"]]} for row in _rows(poll, sort)],
    }


def csv_lines(poll: Poll, sort: str, header: bool = True) -> list[str]:
    """Return lines without newlines: the header, if requested, and one line per VM.

    The first column is the time of the poll (CLOCK_REALTIME, ns), the last the same as text:
    spreadsheets keep fifteen digits of a number. Not known: empty; truth: 1, 0.
    """
    wall = poll.clocks.of(poll.now.realtime_ns)
    lines = [csv_line([_TIME, *NAMES, _TIME_TEXT])] if header else []
    lines += [
        csv_line([wall.realtime_ns, *row.values(), units.iso_time(*wall)])
        for row in _rows(poll, sort)
    ]
    return lines


def _rows(poll: Poll, sort: str) -> list[Figures]:
    return ordered([figures(line) for line in poll.lines], sort)
