# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog demo --every`: a few exits of each reason and the table of all of them, again and again.

A guest that boots leaves the CPU thousands of times a second: nobody reads them all.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from kvmlog.cli import records, table
from kvmlog.cli.demo.visibility import Visibility
from kvmlog.cli.stat import columns, tables
from kvmlog.cli.table import Block, Column, Table
from kvmlog.client.client import Client
from kvmlog.exits.format.lines import exit_cells
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.ring.records import Record
from kvmlog.util import units

# Of so many exits, the newest ones, the last few of each reason are shown.
_LOOKED_AT: Final = 400
_OF_EACH: Final = 3
# kvmStatistics takes no less.
_LEAST_S: Final = 0.1
_TIME_FROM: Final = len("11-21 ")  # a demo does not last for days
_COLUMNS: Final = (
    Column("TIME"),
    Column("GUEST"),
    Column("VCPU", right=True, spare=2),
    Column("REASON", width=10),
    Column("DETAIL", width=20),
    Column("TOTAL", right=True, width=7),
    Column("VMM", right=True, width=7),
    Column("HALT", right=True, width=7),
    Column("NOTES", spare=1),
)


def show_rounds(
    client: Client,
    vm: Sequence[str],
    visible: Visibility,
    every_s: float,
    seconds: float,
    check: Callable[[], str],
) -> tuple[int, int]:
    """Prints a round each `every_s` until `seconds` are over; RpcError.

    check: asked before each round; returns what else there is to say of the guest, or raises.
    Returns how many exits were printed one by one, and how many counted.
    """
    ends = time.monotonic() + seconds
    said: set[str] = set()
    shown = counted = 0
    while (left_s := ends - time.monotonic()) >= _LEAST_S:
        words = check()
        report, notes = client.statistics(visible.view, vm, max(_LEAST_S, min(every_s, left_s)))
        for note in notes:
            if note not in said:
                print(f"kvmlog: {note}", file=sys.stderr, flush=True)
        said.update(notes)
        exits = _newest(client, vm)
        blocks: list[Block] = [words] if words else []
        if exits.rows:
            blocks += [f"the newest {visible.seen} of each reason:", exits, ""]
        table.show(*blocks, *tables.blocks(report, _figures()), "", width=_width())
        shown += len(exits.rows)
        counted += report.shown_exits
    return shown, counted


def _newest(client: Client, vm: Sequence[str]) -> Table:
    """A few of each reason, from the newest exits, oldest first."""
    page = client.records(_LOOKED_AT, vm=vm)
    view = GuestView(GuestList(client.guests().guests))
    rows: list[list[str]] = []
    of_reason = Counter[str]()
    for record in reversed(records.in_time_order(page.decoded())):
        if not isinstance(record, Record):
            continue
        cells = exit_cells(record)
        of_reason[cells.reason] += 1
        if of_reason[cells.reason] > _OF_EACH:
            continue
        label = view.labels.label(record)
        when = units.time_column(*page.clocks.at(record.ns))
        guest = str(record.guest) if label is None else label.text
        times = (cells.total, cells.vmm, cells.halt)
        rows.append(
            [when[_TIME_FROM:], guest, cells.vcpu, cells.reason, cells.detail, *times, cells.notes]
        )
    return Table(_COLUMNS, rows[::-1])


def _figures() -> Sequence[str] | None:
    """As `kvmlog stat` has them; what is fitted gets those that fit."""
    return columns.default(sys.stdout) if _width() is None else None


def _width() -> int | None:
    """COLUMNS where it is set; a terminal knows its own, and what is piped is not cut."""
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdigit() and int(text) else None
