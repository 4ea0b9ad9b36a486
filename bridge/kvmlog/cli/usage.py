# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog usage`: what owners used of this host over a period, as OpenStack counts it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from kvmlog.cli import records, table
from kvmlog.cli.events import local_time
from kvmlog.cli.since import moment
from kvmlog.cli.table import Column, Table
from kvmlog.util.spreadsheet import csv_line

_OWNERS: Final = (
    Column("PROJECT", width=32),
    Column("VMS", right=True, width=4),
    Column("HOURS", right=True, width=9),
    Column("CPU-HOURS", right=True, width=9),
    Column("MIB-HOURS", right=True, width=11),
    Column("GIB-HOURS", right=True, width=9),
)
_VMS: Final = (
    Column("PROJECT", width=8, spare=2),
    Column("VM", width=16),
    Column("STATE", width=10),
    Column("CPUS", right=True, width=4),
    Column("MIB", right=True, width=6),
    Column("GIB", right=True, width=4),
    Column("HOURS", right=True, width=9),
    Column("SINCE", width=19, spare=1),
)
_NAMES: Final = (
    "tenant_id",
    "instance_id",
    "name",
    "flavor",
    "state",
    "vcpus",
    "memory_mb",
    "local_gb",
    "hours",
    "uptime",
    "started_at",
    "ended_at",
    "observed_since",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog usage`."""
    add_options(parser)
    records.add_history(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that hold for this host and others."""
    parser.add_argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="beginning of the period: 2h, 30d, 2026-11-01 (default: all that is known)",
    )
    parser.add_argument(
        "--until", type=moment, metavar="TIME", help="its end, as --since (default: now)"
    )
    parser.add_argument("--project", metavar="ID", help="only this owner")
    parser.add_argument("--vms", action="store_true", help="each VM")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object, with each VM")
    form.add_argument("--csv", action="store_true", help="CSV with a header, a line for each VM")


def run(args: argparse.Namespace) -> int:
    """Print the usage; HistoryError where there is no history."""
    # Only here: of another host it is not needed.
    from kvmlog.cli.history_source import LocalHistory

    return show(args, LocalHistory(args.history_file).usage)


def show(args: argparse.Namespace, ask: Callable[..., dict[str, Any]]) -> int:
    """Print what `ask` finds; return the exit status."""
    found = ask(args.since, args.until, args.project, detailed=True)
    tenants = found["tenant_usages"]
    if args.json:
        table.write([json.dumps(found)], sys.stdout)
    elif args.csv:
        lines = (csv_line([one[name] for name in _NAMES]) for one in _servers(tenants))
        table.write([csv_line(_NAMES), *lines], sys.stdout)
    elif not tenants:
        table.show(f"nothing was used; observed since {local_time(found['observed_since'])}")
    else:
        rows = map(_vm_row, _servers(tenants)) if args.vms else map(_row, tenants)
        period = f"{local_time(tenants[0]['start'])} to {local_time(tenants[0]['stop'])}"
        observed = f"observed since {local_time(found['observed_since'])}"
        table.show(f"{period}; {observed}", Table(_VMS if args.vms else _OWNERS, list(rows)))
    return 0


def _servers(tenants: list[Any]) -> Iterator[Mapping[str, Any]]:
    for one in tenants:
        yield from one["server_usages"]


def _row(one: Mapping[str, Any]) -> list[str]:
    return [
        one["tenant_id"] or "",
        str(len(one["server_usages"])),
        f"{one['total_hours']:.2f}",
        f"{one['total_vcpus_usage']:.2f}",
        f"{one['total_memory_mb_usage']:.0f}",
        f"{one['total_local_gb_usage']:.2f}",
    ]


def _vm_row(one: Mapping[str, Any]) -> list[str]:
    return [
        one["tenant_id"] or "",
        one["name"],
        one["state"] or "",
        str(one["vcpus"]),
        str(one["memory_mb"]),
        "" if one["local_gb"] is None else str(one["local_gb"]),
        f"{one['hours']:.2f}",
        local_time(one["started_at"]),
    ]
