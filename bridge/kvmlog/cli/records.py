# SPDX-License-Identifier: GPL-2.0-or-later
"""Records in time order, as lines; options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from kvmlog.config.schema.defaults import DEFAULT_HISTORY, DEFAULT_RING, DEFAULT_SOCKET
from kvmlog.exits.format.lines import format_record, sentence_line
from kvmlog.exits.format.notes import counted
from kvmlog.guests.labels import GuestView, Label
from kvmlog.ring.clocks import Clocks, WallTime
from kvmlog.ring.records import AnyRecord, GuestRecord, Record


def record_lines(
    shown: list[AnyRecord], clocks: Clocks, view: GuestView, as_json: bool
) -> Iterator[str]:
    """Yield one line per record, oldest first by time: of different CPUs they come in any order.

    view: the names of guests, which has learnt these records.
    """
    for record in in_time_order(shown):
        wall = clocks.at(record.ns)
        label = view.labels.label(record)
        if as_json:
            yield _json_line(record, wall, label)
        else:
            yield format_record(record, *wall, label)


def _json_line(record: AnyRecord, wall: WallTime, label: Label | None) -> str:
    # Imported here, because lines of text need neither.
    import json

    from kvmlog.exits.format.serialize import json_object

    guest = None if label is None else label.guest
    return json.dumps(json_object(record, *wall, guest))


def in_time_order(records: list[AnyRecord]) -> list[AnyRecord]:
    """Return the records sorted by time, equal times as they came, each guest before its exits.

    A guest has the time of the exit that it was first seen by; another vCPU's may be a hair
    earlier. Numbers of guests begin again when the source is loaded again, so only exits that came
    after it are its own.
    """
    keys: list[tuple[int, bool]] = []
    first_ns: dict[int, int] = {}
    for record in reversed(records):
        is_guest = isinstance(record, GuestRecord)
        ns = record.ns
        if is_guest:
            ns = min(ns, first_ns.pop(record.guest, ns))
        elif isinstance(record, Record):
            first_ns[record.guest] = min(ns, first_ns.get(record.guest, ns))
        keys.append((ns, not is_guest))
    keys.reverse()
    return [records[at] for at in sorted(range(len(records)), key=keys.__getitem__)]


def overwritten_line(count: int) -> str:
    """Return the line for records that were overwritten before they were read."""
    return sentence_line(f"LOST {counted(count, 'record')}: overwritten before they were read")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add --ring, and --from in place of it: args.recording, None: the ring."""
    group = parser.add_mutually_exclusive_group()
    add_ring(group)
    add_from(group)


def add_from(parser: argparse._ActionsContainer) -> None:
    """Add --from: args.recording, None: none."""
    parser.add_argument(
        "--from",
        dest="recording",
        metavar="FILE",
        help="read a recording (kvmlog record) in place of the ring",
    )


def add_ring(parser: argparse._ActionsContainer) -> None:
    """Add --ring."""
    parser.add_argument(
        "--ring",
        metavar="PATH",
        default=DEFAULT_RING,
        help="ring file (default %(default)s)",
    )


def add_switch(parser: argparse.ArgumentParser) -> None:
    """Add --switch."""
    parser.add_argument(
        "--switch",
        default=DEFAULT_SOCKET,
        metavar="SOCKET",
        help="the bridge's local socket (default: %(default)s)",
    )


def add_history(parser: argparse.ArgumentParser) -> None:
    """Add --history-file."""
    parser.add_argument(
        "--history-file",
        default=DEFAULT_HISTORY,
        metavar="PATH",
        help="the history's file (default: %(default)s)",
    )


def positive(value: str) -> int:
    """Parse a count of at least 1, for argparse."""
    return _count(value, 1)


def not_negative(value: str) -> int:
    """Parse a count of at least 0, for argparse."""
    return _count(value, 0)


def _count(value: str, least: int) -> int:
    if not (value.isascii() and value.isdigit() and int(value) >= least):
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of at least {least}")
    return int(value)
