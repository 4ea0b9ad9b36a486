# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog remote HOST COMMAND`: the commands for another host, through its `kvmlog rpc`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from kvmlog.cli import (
    dump,
    events,
    explain,
    guests,
    interval,
    pending,
    records,
    selection,
    services,
    status,
    switch,
    tail,
    usage,
)
from kvmlog.cli.examples import add_examples
from kvmlog.cli.remote import follow, sentences
from kvmlog.cli.remote.link import add_link, connect
from kvmlog.cli.stat import options
from kvmlog.cli.stat.command import add_options, printer
from kvmlog.cli.table import Words
from kvmlog.cli.vms import command as vms
from kvmlog.client import Client
from kvmlog.client.connection import RpcError, RpcFaultError
from kvmlog.client.past import merged
from kvmlog.client.statistics import MOST_TOP_OCTAVES
from kvmlog.exits.format import lines
from kvmlog.exits.reasons.lookup import ISAS
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.ring.records import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the server, the options to reach it, and the commands with their local options."""
    parser.add_argument(
        "host", metavar="HOST", help="HOST, HOST:PORT, [IPv6]:PORT or https://HOST:PORT"
    )
    add_link(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (add, act, words) in COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words)
        add(command)
        add_examples(command, f"remote {name}")
        command.set_defaults(act=act, typed=command.prog)


def run(args: argparse.Namespace) -> int:
    """Return the exit status of the command; RpcError when the server refuses or fails."""
    words = words_about(args.host)
    try:
        with connect(args, args.host) as client:
            return int(args.act(client, args, words))
    except RpcFaultError as error:
        raise RpcError(words(str(error))) from None


def words_about(host: str) -> Words:
    """Return the function that words sentences of that host's for here."""
    return sentences.about(host, COMMANDS)


def _status(client: Client, args: argparse.Namespace, words: Words) -> int:
    found = client.status()
    return status.show(
        found.bridge, found.bridge_error, found.ring, found.ring_error, args.json, words
    )


def _switch(client: Client, args: argparse.Namespace, _words: Words) -> int:
    recorded = switch.requested_sampling(args)
    done = client.switch(args.state == "on", args.vm, args.for_s, recorded)
    if done.on:
        switch.print_accepted({"matched": done.matched}, done.for_s, done.sampling)
    else:
        print("ok off")
    return 0


def _dump(client: Client, args: argparse.Namespace, _words: Words) -> int:
    page = client.records(
        args.count, vm=args.vm, reason=args.reason, slower_than_ns=args.slower_than
    )
    query = GuestView(GuestList(client.guests(ended=True).guests))
    shown = page.decoded()
    query.learn(shown)
    if not args.json:
        print(lines.HEADER)
    for line in records.record_lines(shown, page.clocks, query, args.json):
        print(line)
    return 0


def _tail(client: Client, args: argparse.Namespace, _words: Words) -> int:
    with contextlib.suppress(KeyboardInterrupt):
        follow.follow(client, args.count, args.vm, args.reason, args.slower_than)
    return 0


def _stat(client: Client, args: argparse.Namespace, words: Words) -> int:
    query = options.query(args)
    if args.heat and query.top is None:
        # All groups, which are added up: a server gives no more.
        query = dataclasses.replace(query, top=MOST_TOP_OCTAVES)
    with contextlib.ExitStack() as stack:
        show = printer(args, stack, words)
        said: set[str] = set()
        with contextlib.suppress(KeyboardInterrupt):
            for _ in _rounds(args.interval, args.count):
                fresh = args.interval is None
                report, notes = client.statistics(query, args.vm, args.interval, fresh=fresh)
                for note in notes:
                    if note not in said:
                        print(f"kvmlog: {words(note)}", file=sys.stderr, flush=True)
                said.update(notes)
                show(report)
    return 0


def _rounds(interval: float | None, count: int | None) -> Iterator[int]:
    done = 0
    while done < (count or (1 if interval is None else done + 1)):
        yield done
        done += 1


def _guests(client: Client, args: argparse.Namespace, words: Words) -> int:
    found = client.guests(ended=args.all)
    unanswered = f"{client.name}: {words(found.bridge_error)}" if found.bridge_error else None
    if found.guests_error:
        unknown = f"{client.name}: {words(found.guests_error)}"
        return guests.print_unknown(unanswered, unknown)
    if unanswered is not None:
        print(f"kvmlog: {unanswered}{guests.KNEW_LAST}", file=sys.stderr)
    left_out = 0 if args.all else found.ended
    guests.show(found.guests, left_out, found.exits, found.clocks, args.json, words)
    return 0


def _vms(client: Client, args: argparse.Namespace, words: Words) -> int:
    # As vm_stats() of the client: the model of VMs takes as long to load as all the rest.
    from kvmlog.cli.remote.vms import RemoteSource

    interval.check(args)
    with contextlib.ExitStack() as stack:
        source = RemoteSource(client, args.vm)
        vms.follow(args, stack, source.poll, words)
    return 0


def _why(client: Client, args: argparse.Namespace, words: Words) -> int:
    # As _vms().
    from kvmlog.cli import why

    why.show(client.why(args.vm, args.for_s, trace=args.trace), args.json, words)
    return 0


def _pending(client: Client, args: argparse.Namespace, words: Words) -> int:
    found = client.pending(args.vm)
    view = GuestView(GuestList(client.guests(ended=True).guests))
    shown = [one for one in found.records.decoded() if isinstance(one, Record)]
    view.learn(shown)
    pending.show(shown, found.records.clocks, view, args.json)
    pending.print_left_out(found.left_out)
    if not shown and not args.vm:
        pending.print_why_none(client.status().bridge or {}, words)
    return 0


def _events(client: Client, args: argparse.Namespace, _words: Words) -> int:
    def ask(vm: str | None, count: int, since: str | None) -> tuple[list[Any], list[Any]]:
        return (
            client.actions(vm, limit=count, since=since),
            client.faults(vm, limit=count, since=since),
        )

    return events.show(args, ask)


def _services(client: Client, args: argparse.Namespace, _words: Words) -> int:
    change = services.change_of(args)
    found = client.services()
    if change is not None:
        binary, wanted = change
        client.update_service(services.id_of(binary, found), **wanted)
        found = client.services(binary=binary)
    return services.show(found, args.json)


def _usage(client: Client, args: argparse.Namespace, _words: Words) -> int:
    def ask(start: str | None, end: str | None, project: str | None, *, detailed: bool) -> Any:
        pages: list[dict[str, Any]] = []
        while not pages or pages[-1]["next_marker"] is not None:
            marker = pages[-1]["next_marker"] if pages else None
            pages.append(
                client.usage(start, end, project=project, detailed=detailed, marker=marker)
            )
        return merged(pages)

    return usage.show(args, ask)


def _explain(client: Client, args: argparse.Namespace, _words: Words) -> int:
    found = client.explain(args.reason, args.isa)
    explain.show(found, args.json, args.as_list or args.reason is None)
    return 0


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON, for programs")


def _add_dump(parser: argparse.ArgumentParser) -> None:
    dump.add_options(parser, words=True)


def _add_tail(parser: argparse.ArgumentParser) -> None:
    tail.add_options(parser, words=True)


def _add_guests(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="include guests that have ended")
    _json(parser)


def _add_why(parser: argparse.ArgumentParser) -> None:
    from kvmlog.cli import why

    why.add_options(parser)


def _add_pending(parser: argparse.ArgumentParser) -> None:
    selection.add_vm(parser, "show only vCPUs of this guest; repeatable")
    _json(parser)


def _add_services(parser: argparse.ArgumentParser) -> None:
    services.add_options(parser)
    services.add_change(parser)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reason",
        nargs="?",
        metavar="REASON",
        help="a name, its beginning, or a number (default: list all)",
    )
    parser.add_argument("--isa", choices=ISAS, help="only reasons of this architecture")
    parser.add_argument("--list", action="store_true", dest="as_list", help="one line per reason")
    _json(parser)


COMMANDS: Final[
    dict[
        str,
        tuple[
            Callable[[argparse.ArgumentParser], None],
            Callable[[Client, argparse.Namespace, Words], int],
            str,
        ],
    ]
] = {
    "status": (_json, _status, "show what its bridge and its ring are doing"),
    "switch": (switch.add_options, _switch, "switch tracing on or off there"),
    "dump": (_add_dump, _dump, "print the newest records"),
    "tail": (_add_tail, _tail, "print records as they come"),
    "stat": (add_options, _stat, "count exits by guest and reason"),
    "guests": (_add_guests, _guests, "list its guests"),
    "vms": (vms.add_options, _vms, "show what its VMs use, and their exits"),
    "events": (events.add_options, _events, "show what happened to its VMs"),
    "services": (_add_services, _services, "show its services, or change one"),
    "usage": (usage.add_options, _usage, "show what owners used of it"),
    "why": (_add_why, _why, "watch a VM there, and say what slows it down"),
    "pending": (_add_pending, _pending, "print the vCPUs that are in an exit now"),
    "explain": (_add_explain, _explain, "say what an exit reason is"),
}
