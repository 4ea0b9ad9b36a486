# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog remote HOST COMMAND`: the commands for another host, through its `kvmlog rpc`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Final

from kvmlog.cli import (
    dump,
    explain,
    guests,
    interval,
    pending,
    records,
    selection,
    status,
    switch,
    tail,
)
from kvmlog.cli.examples import add_examples
from kvmlog.cli.remote import follow, sentences
from kvmlog.cli.stat import options
from kvmlog.cli.stat.command import add_options, printer
from kvmlog.cli.table import Words
from kvmlog.cli.vms import command as vms
from kvmlog.client import Client
from kvmlog.client.connection import MOST_TIMEOUT_S, RpcError, RpcFaultError
from kvmlog.exits.format import lines
from kvmlog.exits.reasons.lookup import ISAS
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.ring.records import Record
from kvmlog.util.secrets import read_secret

DEFAULT_TIMEOUT_S: Final = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the server, the options to reach it, and the commands with their local options."""
    parser.add_argument(
        "host", metavar="HOST", help="HOST, HOST:PORT, [IPv6]:PORT or https://HOST:PORT"
    )
    add_link(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (add, act, words) in _COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words)
        add(command)
        add_examples(command, f"remote {name}")
        command.set_defaults(act=act, typed=command.prog)


def add_link(
    parser: argparse.ArgumentParser, *also: str, timeout_s: float = DEFAULT_TIMEOUT_S
) -> None:
    """Add credentials, trust and timeout, for connect(); also: other names of the last."""
    parser.add_argument(
        "--token-file", metavar="FILE", help="file that holds only the token to authenticate with"
    )
    parser.add_argument(
        "--tls-ca",
        metavar="FILE",
        help="PEM file of the CA to verify the server with (default: the system's)",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="PEM file of the client certificate")
    parser.add_argument("--tls-key", metavar="FILE", help="PEM file of its key")
    parser.add_argument(
        *also,
        "--timeout",
        metavar="S",
        type=float,
        default=timeout_s,
        help="seconds to wait for connection and reply (default %(default)g)",
    )
    parser.set_defaults(refuse_remote=parser.error)


def run(args: argparse.Namespace) -> int:
    """Return the exit status of the command; RpcError when the server refuses or fails."""
    words = sentences.about(args.host, _COMMANDS)
    try:
        with connect(args, args.host) as client:
            return int(args.act(client, args, words))
    except RpcFaultError as error:
        raise RpcError(words(str(error))) from None


def connect(args: argparse.Namespace, host: str) -> Client:
    """Return a client for the options of add_link(); exit with status 2 for a bad timeout."""
    if not 0 < args.timeout <= MOST_TIMEOUT_S:
        args.refuse_remote(
            f"--timeout {args.timeout:g}: give more than 0 s and at most {MOST_TIMEOUT_S:.0f}"
        )
    token = None
    if args.token_file is not None:
        token = read_secret(args.token_file, "token").decode("ascii", "replace").strip()
    return Client(
        host,
        token=token,
        tls_ca=args.tls_ca,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        timeout_s=args.timeout,
    )


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


def _add_pending(parser: argparse.ArgumentParser) -> None:
    selection.add_vm(parser, "show only vCPUs of this guest; repeatable")
    _json(parser)


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


_COMMANDS: Final[
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
    "pending": (_add_pending, _pending, "print the vCPUs that are in an exit now"),
    "explain": (_add_explain, _explain, "say what an exit reason is"),
}
