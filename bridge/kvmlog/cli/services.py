# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog services`: the services of this host, whether they are up, and what is set of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kvmlog.cli import records, table
from kvmlog.cli.events import local_time
from kvmlog.cli.table import Column, Table
from kvmlog.util.errors import HistoryError

_COLUMNS: Final = (
    Column("SERVICE", width=14),
    Column("STATE", width=5),
    Column("STATUS", width=8),
    Column("SEEN", width=19, spare=1),
    Column("ZONE", spare=3),
    Column("DETAIL", spare=2),
)

_CHANGES: Final = {
    "disable": "take a service out of use, and with kvmlog-vmstats its host",
    "enable": "take it into use again",
    "force-down": "have it be down, whatever it says",
    "unforce": "no longer force it down",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog services`."""
    add_options(parser)
    records.add_history(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that hold for this host and others."""
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def add_change(parser: argparse.ArgumentParser) -> None:
    """Add the options that change a service, which takes the right to switch."""
    what = parser.add_mutually_exclusive_group()
    for name, text in _CHANGES.items():
        what.add_argument(f"--{name}", metavar="SERVICE", help=text)
    parser.add_argument("--reason", metavar="TEXT", help="why, with --disable")
    parser.set_defaults(usage_error=parser.error)


def change_of(args: argparse.Namespace) -> tuple[str, dict[str, Any]] | None:
    """Return which service to change and how, for Client.update_service(); None: none."""
    if args.reason is not None and args.disable is None:
        args.usage_error("--reason without --disable; give both")
    if args.disable is not None:
        return args.disable, {"enabled": False, "disabled_reason": args.reason}
    if args.enable is not None:
        return args.enable, {"enabled": True}
    if args.force_down is not None:
        return args.force_down, {"forced_down": True}
    if args.unforce is not None:
        return args.unforce, {"forced_down": False}
    return None


def id_of(binary: str, found: Sequence[Mapping[str, Any]]) -> str:
    """Return the id of the service of a name among these; HistoryError."""
    for one in found:
        if one["binary"] == binary:
            return str(one["id"])
    known = ", ".join(one["binary"] for one in found) or "none yet"
    raise HistoryError(f"no service {binary!a} has been seen there; give one of {known}")


def run(args: argparse.Namespace) -> int:
    """Print the services; HistoryError where there is no history."""
    # Only here: of another host it is not needed.
    from kvmlog.cli.history_source import LocalHistory

    return show(LocalHistory(args.history_file).services(), args.json)


def show(found: Sequence[Mapping[str, Any]], as_json: bool) -> int:
    """Print services, as docs/schemas/service.json has them; return the exit status."""
    if as_json:
        table.write([json.dumps(one) for one in found], sys.stdout)
    elif found:
        table.show(Table(_COLUMNS, [_row(one) for one in found]))
    else:
        table.show("no service has been seen yet")
    return 0


def _row(one: Mapping[str, Any]) -> list[str]:
    told = [one["disabled_reason"], "forced down" if one["forced_down"] else None, one["detail"]]
    return [
        one["binary"],
        one["state"],
        one["status"],
        local_time(one["last_seen_up"]),
        one["zone"],
        "; ".join(filter(None, told)),
    ]
