# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog guests`: the guests of this host, by name and UUID."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Final

from kvmlog.cli import recorded, records, table
from kvmlog.cli.table import Column, Table, Words
from kvmlog.control.client import SwitchClient
from kvmlog.exits.format.notes import counted
from kvmlog.guests.names import Guest, GuestList, GuestNames
from kvmlog.guests.serialize import Process, exits_by_process, exits_of, guest_object
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.reader import host_clocks
from kvmlog.util import units
from kvmlog.util.errors import StatisticsError, SwitchError

KNEW_LAST: Final = "; these are the guests it knew last"

_COLUMNS: Final = (
    Column("NAME", width=16),
    Column("PID", right=True, width=7),
    Column("KIND", width=8, spare=4),
    Column("UUID", width=36, spare=1),
    Column("STATE", width=7),
    Column("SINCE", width=19, spare=3),
    Column("EXITS", right=True, width=9),
    Column("NUMBERS", spare=2),
    Column("WHERE", spare=5),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog guests`."""
    parser.add_argument("--all", action="store_true", help="include guests that have ended")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    records.add_source(parser)
    records.add_switch(parser)


def run(args: argparse.Namespace) -> int:
    """Print the guests, oldest first; without a bridge, those it knew last.

    NUMBERS: the guest's numbers in records; WHERE: its pod, container or cgroup; EXITS: its exits
    in the statistics. Return 0, or 1 where something could not be read: what is not known is
    never printed as if there were nothing.
    """
    if args.recording is not None:
        return _recorded(args)
    unanswered = None
    try:
        SwitchClient(args.switch).guests()
    except SwitchError as error:
        unanswered = str(error)
    names = GuestNames(args.ring)
    unknown = names.problem or names.absent
    if unknown is not None:
        return print_unknown(unanswered, unknown)
    if unanswered is not None:
        print(f"kvmlog: {unanswered}{KNEW_LAST}", file=sys.stderr)
    exits, status = None, 0
    try:
        exits = exits_by_process(args.ring)
    except StatisticsError as error:
        status = print_unknown(f"exits are not known: {error}")
    known = names.guests()
    listed = [guest for guest in known if args.all or guest.ended_realtime_ns is None]
    show(listed, len(known) - len(listed), exits, host_clocks(args.ring), args.json)
    return status


def _recorded(args: argparse.Namespace) -> int:
    """Print the guests of a recording, as they were at its end, with their exits in it."""
    with recorded.opened(args.recording) as recording:
        known = GuestList(recording.guests.guests).guests()
        exits = exits_of(recording.statistics().guests.values())
        listed = [guest for guest in known if args.all or guest.ended_realtime_ns is None]
        left_out = len(known) - len(listed)
        show(listed, left_out, exits, recording.clocks(), args.json)
    return 0


def print_unknown(*sentences: str | None) -> int:
    """Print to stderr what is not known, and why; return the exit status."""
    for sentence in sentences:
        if sentence is not None:
            print(f"kvmlog: {sentence}", file=sys.stderr)
    return 1


def show(
    listed: list[Guest],
    left_out: int,
    exits: Mapping[Process, int] | None,
    clocks: Clocks,
    as_json: bool,
    words: Words = str,
) -> None:
    """Print guests with their exits, and how many ended ones were left out; words: as Words."""
    if as_json:
        table.write(
            [json.dumps(guest_object(guest, exits, clocks)) for guest in listed], sys.stdout
        )
        return
    if listed:
        table.show(Table(_COLUMNS, [_row(guest, exits, clocks) for guest in listed]))
    else:
        table.show("no guest runs")
    if left_out:
        sentence = f"{counted(left_out, 'guest')} that ended: kvmlog guests --all"
        print(f"kvmlog: {words(sentence)}", file=sys.stderr)


def _row(guest: Guest, exits: Mapping[Process, int] | None, clocks: Clocks) -> list[str]:
    ended = guest.ended_realtime_ns
    at_ns = guest.first_seen_realtime_ns if ended is None else ended
    return [
        guest.name,
        str(guest.pid),
        guest.kind,
        guest.uuid or "",
        "running" if ended is None else "ended",
        units.date_time(*clocks.of(at_ns)),
        "" if exits is None else str(exits.get((guest.pid, guest.start_ticks), 0)),
        ",".join(str(number) for number, _ in guest.numbers),
        _where(guest),
    ]


def _where(guest: Guest) -> str:
    words = []
    if guest.pod:
        words.append(f"pod {guest.pod}")
    if guest.container:
        words.append(f"container {guest.container[:12]}")
    return " ".join(words) or guest.cgroup
