# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog events`: what was done to the VMs of this host, and what went wrong with them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from kvmlog.cli import records, selection, table
from kvmlog.cli.since import moment
from kvmlog.cli.table import Column, Table
from kvmlog.util.spreadsheet import csv_line

Document: TypeAlias = Mapping[str, Any]
# The actions and faults of a VM, or of all VMs, newest first, at most so many of each.
Asks: TypeAlias = Callable[[str | None, int, str | None], tuple[list[Any], list[Any]]]

_MOST: Final = 1_000
_COLUMNS: Final = (
    Column("TIME", width=19),
    Column("VM", width=16),
    Column("EVENT", width=10),
    Column("RESULT", width=7, spare=1),
    Column("SEEN", width=6, spare=2),
    Column("DETAIL"),
)
_NAMES: Final = (
    "time",
    "name",
    "uuid",
    "kind",
    "event",
    "failed",
    "source",
    "project_id",
    "detail",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog events`."""
    add_options(parser)
    records.add_history(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that hold for this host and others."""
    selection.add_vm(parser, "only events of this VM, also one that is gone; repeatable")
    parser.add_argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="only events from then on: 2h, 7d, 2026-11-30, 2026-11-30T17:00",
    )
    parser.add_argument(
        "-n",
        "--count",
        type=_count,
        default=_MOST,
        metavar="N",
        help="the newest N actions, and as many faults (default and most: %(default)s)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per line")
    form.add_argument("--csv", action="store_true", help="CSV with a header")


def run(args: argparse.Namespace) -> int:
    """Print the events, the newest last; HistoryError where there is no history."""
    # Only here: of another host it is not needed.
    from kvmlog.cli.history_source import LocalHistory

    return show(args, LocalHistory(args.history_file).happened)


def show(args: argparse.Namespace, ask: Asks) -> int:
    """Print the events that `ask` finds; return the exit status."""
    found: list[dict[str, Any]] = []
    for word in args.vm or [None]:
        actions, faults = ask(word, args.count, args.since)
        found += map(_of_action, actions)
        found += map(_of_fault, faults)
    events = sorted(found, key=lambda one: str(one["time"]))
    if args.json:
        table.write([json.dumps(one) for one in events], sys.stdout)
    elif args.csv:
        _write_csv(events)
    elif events:
        table.show(Table(_COLUMNS, [_row(one) for one in events]))
    else:
        table.show("nothing has happened")
    return 0


def _of_action(one: Document) -> dict[str, Any]:
    return {
        "time": one["observed_at"],
        "name": one["instance_name"],
        "uuid": one["instance_uuid"],
        "kind": "action",
        "event": one["action"],
        "failed": one["message"] is not None,
        "source": one["source"],
        "project_id": one["project_id"],
        "detail": one["message"],
    }


def _of_fault(one: Document) -> dict[str, Any]:
    times = f" ({one['count']} times)" if one["count"] > 1 else ""
    return {
        "time": one["created"],
        "name": one["name"],
        "uuid": one["instance_uuid"],
        "kind": "fault",
        "event": one["kind"],
        "failed": True,
        "source": one["source"],
        "project_id": one["project_id"],
        "detail": f"{one['message']}{times}",
    }


def _row(one: Document) -> list[str]:
    return [
        local_time(str(one["time"])),
        str(one["name"]),
        str(one["event"]),
        "fault" if one["kind"] == "fault" else "failed" if one["failed"] else "",
        str(one["source"]),
        one["detail"] or "",
    ]


def _write_csv(events: Sequence[Document]) -> None:
    lines = (csv_line([one[name] for name in _NAMES]) for one in events)
    table.write([csv_line(_NAMES), *lines], sys.stdout)


def local_time(text: str) -> str:
    """Return a time of a document, UTC, as the time of day here: 2026-11-30 17:00:00."""
    when = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:9]) <= _MOST:
        raise argparse.ArgumentTypeError(f"{value!r}: give a whole number from 1 to {_MOST}")
    return int(value)
