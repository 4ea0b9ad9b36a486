# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog pending`: the vCPUs that are in an exit now, longest first."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from kvmlog.cli import records, selection, table
from kvmlog.cli.table import Column, Table, Words
from kvmlog.control.client import SwitchClient
from kvmlog.exits.format import lines, serialize
from kvmlog.exits.format.notes import counted
from kvmlog.guests.labels import GuestView
from kvmlog.native import lib
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.reader import host_clocks
from kvmlog.ring.records import Record, unpack_records
from kvmlog.sources.base import NO_EXITS
from kvmlog.util import units

ENDED: Final = "guest ended"

_COLUMNS: Final = (
    Column("TIME", width=21, spare=2),
    Column("GUEST", width=16),
    Column("VCPU", right=True),
    Column("CPU", right=True, spare=4),
    Column("REASON", width=20),
    Column("DETAIL", width=24),
    Column("TOTAL", right=True, width=7),
    Column("VMM", right=True, width=7),
    Column("HALT", right=True, width=7, spare=3),
    Column("NOTES", spare=1),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog pending`."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per line, with names and numbers"
    )
    selection.add_vm(parser, "show only vCPUs of this guest; repeatable")
    records.add_ring(parser)
    records.add_switch(parser)


def run(args: argparse.Namespace) -> int:
    """Print them and return 0; SwitchError when no bridge answers.

    TIME is when the vCPU left its guest, TOTAL how long ago that is, VMM how long ago KVM
    returned to the guest's process, HALT how long it has halted. Names of guests stand in a file
    beside the ring (--ring).
    """
    client = SwitchClient(args.switch)
    view = selection.guest_view(args.ring, args.vm)
    raw, count = client.pending(view.numbers())
    given = [record for record in unpack_records(raw) if isinstance(record, Record)]
    view.learn(given)
    found = [record for record in given if view.shows(record)]
    show(found, host_clocks(args.ring), view, args.json)
    print_left_out(count - len(given))
    if not given:
        print_why_none(client.status())
    return 0


def show(found: list[Record], clocks: Clocks, view: GuestView, as_json: bool) -> None:
    """Print the vCPUs; view: the guests, which has learnt these records."""
    if as_json:
        table.write((_json(one, view, clocks) for one in found), sys.stdout)
    elif found:
        table.show(Table(_COLUMNS, [_row(one, view, clocks) for one in found]))
    else:
        table.show("no vCPU is in an exit")


def print_why_none(status: Mapping[str, Any], words: Words = str) -> None:
    """Print to stderr the source's note that no exits can be seen on its host, if there is one.

    status: the bridge's status answer.
    """
    for note in status.get("source", {}).get("notes", []):
        if NO_EXITS in note:
            print(f"kvmlog: {words(note)}", file=sys.stderr)


def print_left_out(count: int) -> None:
    """Print to stderr how many vCPUs the bridge left out of its reply."""
    if count > 0:
        print(f"and {counted(count, 'vCPU')} more, for less long", file=sys.stderr)


def _row(record: Record, view: GuestView, clocks: Clocks) -> list[str]:
    label = view.labels.label(record)
    cells = lines.exit_cells(record, unsaid=lib.KVMLOG_F_NO_REENTRY)
    if label is not None and label.guest.ended_realtime_ns is not None:
        # Its thread lives on, and so does the exit, although the VM is gone.
        cells = cells._replace(notes=", ".join(filter(None, (cells.notes, ENDED))))
    time_column = units.time_column(*clocks.at(record.exit_ns))
    return [time_column, str(record.guest) if label is None else label.text, *cells]


def _json(record: Record, view: GuestView, clocks: Clocks) -> str:
    guest = view.labels.guest(record)
    return json.dumps(serialize.json_object(record, *clocks.at(record.exit_ns), guest))
