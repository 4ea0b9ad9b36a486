# SPDX-License-Identifier: GPL-2.0-or-later
"""What all hosts of a fleet are together: their answers as one table, or one JSON document."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from kvmlog.cli import table, usage
from kvmlog.cli.events import local_time
from kvmlog.cli.fleet.chosen import Fleet, sentences, status_of
from kvmlog.cli.table import Column, Pairs, Table
from kvmlog.config.load import Config
from kvmlog.util.printable import printable

if TYPE_CHECKING:
    from kvmlog.client import Client
    from kvmlog.fleet.ask import Answer
    from kvmlog.fleet.hosts import FleetHost

_HYPERVISORS: Final = (
    Column("HOST", width=16),
    Column("STATE", width=5),
    Column("STATUS", width=8),
    Column("VMS", right=True, width=3),
    Column("CPUS", right=True, width=4),
    Column("USED", right=True, width=4),
    Column("MIB", right=True, width=7),
    Column("USED", right=True, width=7),
    Column("GIB", right=True, width=6, spare=1),
    Column("USED", right=True, width=6, spare=1),
)
_FIGURES: Final = (
    "running_vms",
    "vcpus",
    "vcpus_used",
    "memory_mb",
    "memory_mb_used",
    "local_gb",
    "local_gb_used",
)
_SERVERS: Final = (Column("HOST", width=16), Column("VM", width=16), Column("UUID", width=36))
_SERVICES: Final = (
    Column("HOST", width=16),
    Column("SERVICE", width=14),
    Column("STATE", width=5),
    Column("STATUS", width=8),
    Column("SEEN", width=19, spare=1),
    Column("ZONE", spare=3),
    Column("DETAIL", spare=2),
)
_TOTALS: Final = {
    "count": "hypervisors",
    "running_vms": "VMs",
    "vcpus": "CPUs",
    "vcpus_used": "CPUs used",
    "memory_mb": "MiB",
    "memory_mb_used": "MiB used",
    "free_ram_mb": "MiB free",
    "local_gb": "GiB",
    "local_gb_used": "GiB used",
    "free_disk_gb": "GiB free",
}


def add_hypervisors(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog fleet hypervisors`."""
    parser.add_argument("--search", metavar="TEXT", help="only those with this in their names")
    parser.add_argument("--servers", action="store_true", help="their VMs, a line each")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per hypervisor, with all details"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json for one document."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def add_services(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog fleet services`."""
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog fleet limits`."""
    parser.add_argument("--project", metavar="ID", help="only this owner (default: all VMs)")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file whose [limits] count (default: /etc/kvmlog/kvmlog.toml)",
    )
    add_json(parser)


def hypervisors(fleet: Fleet, args: argparse.Namespace) -> int:
    """Print the hypervisors of all hosts; return the exit status."""
    from kvmlog.fleet import FleetError

    answers, found = _details(fleet, servers=args.servers)
    if args.search is not None:
        found = [one for one in found if args.search in one["hypervisor_hostname"]]
        if not found and not all(one.error for one in answers):
            for sentence in sentences(answers):
                _say(sentence)
            raise FleetError(f"no hypervisor has {args.search!a} in its name; give part of one")
    if args.json:
        table.write([json.dumps(one) for one in found], sys.stdout)
    elif args.servers:
        rows = [
            [one["hypervisor_hostname"], vm["name"], vm["uuid"]]
            for one in found
            for vm in one["servers"]
        ]
        table.show(Table(_SERVERS, rows))
    elif found:
        table.show(Table(_HYPERVISORS, [_row(one) for one in found]))
    return _ended(answers)


def totals(fleet: Fleet, args: argparse.Namespace) -> int:
    """Print the sums over all enabled hypervisors; return the exit status."""
    from kvmlog.vmstats.views import hypervisor_statistics

    answers, found = _details(fleet)
    whole = hypervisor_statistics.document(found)
    if args.json:
        table.write([json.dumps(whole)], sys.stdout)
    elif not all(one.error for one in answers):
        shown = [
            (name, "-" if whole[key] is None else str(whole[key])) for key, name in _TOTALS.items()
        ]
        table.show(Pairs(shown))
    return _ended(answers)


def services(fleet: Fleet, args: argparse.Namespace) -> int:
    """Print the services of all hosts, those that do not answer as UNKNOWN."""
    from kvmlog.fleet import merge

    answers = fleet.ask(lambda client, _: client.services())
    found: list[dict[str, Any]] = []
    for one in answers:
        told = one.value
        found += [merge.unknown_service(one.host.name)] if told is None else told
    if args.json:
        table.write([json.dumps(one) for one in found], sys.stdout)
    else:
        table.show(Table(_SERVICES, [_service_row(one) for one in found]))
    return _ended(answers)


def used(fleet: Fleet, args: argparse.Namespace) -> int:
    """Print what owners used of all hosts, with the columns of `kvmlog usage`."""
    from kvmlog.fleet import calls, merge

    answers: list[Answer[Any]] = []

    def ask(
        start: str | None, end: str | None, project: str | None, *, detailed: bool
    ) -> dict[str, Any]:
        del detailed  # always, as `kvmlog usage` asks
        answers.extend(fleet.ask(lambda client, _: calls.usage(client, start, end, project)))
        return merge.usage([one.value for one in answers if one.value is not None])

    if args.json or args.csv:
        usage.show(args, ask)
    else:
        found = ask(args.since, args.until, args.project, detailed=True)
        if found["observed_since"] is not None:
            usage.show(args, lambda *_, **__: found)
    return _ended(answers)


def limits(fleet: Fleet, args: argparse.Namespace) -> int:
    """Print an owner's limits, as they are configured here, and what is used on all hosts."""
    from kvmlog.config import owner_limits
    from kvmlog.fleet import merge

    owners = owner_limits.parse(Config.load(args.config).limits.owners)
    answers = fleet.ask(lambda client, _: client.limits(args.project))
    told = [one.value for one in answers if one.value is not None]
    found = merge.limits(told, args.project, owners, complete=len(told) == len(answers))
    if args.json:
        table.write([json.dumps(found)], sys.stdout)
    elif told:
        absolute = found["absolute"]
        shown = [
            (name, f"{absolute[have]} of {absolute.get(most, 'no limit')}")
            for name, have, most in (
                ("cores", "totalCoresUsed", "maxTotalCores"),
                ("MiB", "totalRAMUsed", "maxTotalRAMSize"),
                ("instances", "totalInstancesUsed", "maxTotalInstances"),
            )
        ]
        source = {
            "configured": "limits configured here",
            "none": "no limits are configured here",
        }.get(found["source"], f"limits: {found['source']}, of all hosts")
        rest = "" if found["complete"] else "; what is used is not all known"
        table.show(Pairs(shown), f"{source}{rest}")
    return _ended(answers)


def _details(
    fleet: Fleet, *, servers: bool = False
) -> tuple[list[Answer[list[dict[str, Any]]]], list[dict[str, Any]]]:
    """Return the answers of all hosts, and each hypervisor once."""
    from kvmlog.fleet import calls, merge
    from kvmlog.fleet.ask import values

    def call(client: Client, _: FleetHost) -> list[dict[str, Any]]:
        return calls.details(client, calls.CAPACITIES, servers=servers)

    answers = fleet.ask(call)
    found, notes = merge.hypervisors(values(answers))
    for note in notes:
        _say(note)
    return answers, found


def _ended(answers: Sequence[Answer[Any]]) -> int:
    """Say who did not answer; return the exit status."""
    sys.stdout.flush()
    failed = sentences(answers)
    for sentence in failed:
        _say(sentence)
    return status_of(len(answers), len(failed))


def _say(sentence: str) -> None:
    print(f"kvmlog: {printable(sentence)}", file=sys.stderr, flush=True)


def _row(one: dict[str, Any]) -> list[str]:
    figures = ["" if one[name] is None else str(one[name]) for name in _FIGURES]
    return [one["hypervisor_hostname"], one["state"], one["status"], *figures]


def _service_row(one: dict[str, Any]) -> list[str]:
    seen = one.get("last_seen_up")
    told = [
        one.get("disabled_reason"),
        "forced down" if one.get("forced_down") else None,
        one.get("detail"),
    ]
    return [
        one["host"],
        one["binary"],
        one.get("state") or "",
        one["status"],
        "" if seen is None else local_time(seen),
        one.get("zone") or "",
        "; ".join(filter(None, told)),
    ]


MERGED: Final[
    dict[
        str,
        tuple[
            Callable[[argparse.ArgumentParser], None],
            Callable[[Fleet, argparse.Namespace], int],
            str,
        ],
    ]
] = {
    "hypervisors": (
        add_hypervisors,
        hypervisors,
        "list the hosts of VMs, and what of them is used",
    ),
    "totals": (add_json, totals, "add up all enabled hypervisors"),
    "services": (add_services, services, "show the services of all hosts"),
    "usage": (usage.add_options, used, "show what owners used of all hosts"),
    "limits": (add_limits, limits, "show an owner's limits, and what is used of them"),
}
