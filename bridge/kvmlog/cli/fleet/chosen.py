# SPDX-License-Identifier: GPL-2.0-or-later
"""Which hosts, and how they are reached: options, and what they describe."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from kvmlog.cli.remote.link import add_link

if TYPE_CHECKING:
    from kvmlog.client import Client
    from kvmlog.fleet.ask import Answer
    from kvmlog.fleet.hosts import FleetHost

T = TypeVar("T")

EXIT_NONE = 1  # no host answered
EXIT_SOME = 3  # some did not


def add_hosts(parser: argparse.ArgumentParser) -> None:
    """Add where the list of hosts comes from."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--hosts",
        metavar="FILE",
        help="list of hosts: HOST[:PORT] or https://HOST[:PORT] on a line, labels NAME=VALUE after "
        'it, comments after "#"; "-": standard input',
    )
    where.add_argument(
        "--srv", metavar="NAME", help="hosts and ports from the SRV records of this name"
    )
    parser.add_argument(
        "--nameserver",
        metavar="ADDRESS",
        help="ask this DNS server for --srv: ADDRESS or ADDRESS:PORT (default: the system's)",
    )
    parser.set_defaults(refuse_hosts=parser.error)


def hosts_of(args: argparse.Namespace, *, tls: bool = False) -> list[FleetHost]:
    """Return the hosts that the options name; FleetError. tls: where the list does not say."""
    if args.nameserver is not None and args.srv is None:
        args.refuse_hosts("--nameserver without --srv; give both")
    if args.srv is not None:
        from kvmlog.fleet import srv

        return srv.lookup(args.srv, args.nameserver, tls=tls)
    from kvmlog.fleet import hosts

    return hosts.read(args.hosts, tls=tls)


def add_call(parser: argparse.ArgumentParser) -> None:
    """Add hosts, credentials, and bounds of a call."""
    # Not with the module: it takes the client.
    add_hosts(parser)
    add_link(parser)
    parser.add_argument(
        "--parallel",
        metavar="N",
        type=int,
        default=32,
        help="hosts at a time (default %(default)d)",
    )


class Fleet:
    """The hosts of a command, and what did not answer of them."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Read the list and the credentials; KvmlogError, exit with status 2 for a bad option."""
        from kvmlog.client.connection import MOST_TIMEOUT_S
        from kvmlog.fleet.access import Access
        from kvmlog.fleet.ask import MOST_PARALLEL

        if not 0 < args.timeout <= MOST_TIMEOUT_S:
            args.refuse_remote(
                f"--timeout {args.timeout:g}: give more than 0 s and at most {MOST_TIMEOUT_S:.0f}"
            )
        if not 0 < args.parallel <= MOST_PARALLEL:
            args.refuse_remote(f"--parallel {args.parallel}: give 1 to {MOST_PARALLEL}")
        wanted = any((args.tls_ca, args.tls_cert, args.tls_key))
        self.hosts = hosts_of(args, tls=wanted)
        self.parallel: int = args.parallel
        self.timeout_s: float = args.timeout
        self.access = Access.of(
            token_file=args.token_file,
            ca=args.tls_ca,
            cert=args.tls_cert,
            key=args.tls_key,
            timeout_s=args.timeout,
            tls=any(one.tls for one in self.hosts),
        )

    def ask(
        self,
        call: Callable[[Client, FleetHost], T],
        *,
        longer_s: float | None = 0.0,
        done: Callable[[Answer[T]], None] = lambda _: None,
    ) -> list[Answer[T]]:
        """Return the answers of all hosts.

        longer_s: how much longer than usual a host may take; None: as long as it likes.
        """
        from kvmlog.fleet import ask

        deadline_s = None if longer_s is None else self.timeout_s + longer_s
        return ask.ask_all(
            self.hosts,
            self.access,
            call,
            parallel=self.parallel,
            deadline_s=deadline_s,
            done=done,
        )


def status_of(count: int, failed: int) -> int:
    """Return the exit status for so many hosts, of which so many failed."""
    if not failed:
        return 0
    return EXIT_NONE if failed == count else EXIT_SOME


def sentences(answers: Sequence[Answer[T]]) -> list[str]:
    """Return why hosts did not answer, a line each."""
    return [f"{one.host.name}: {one.error}" for one in answers if one.error is not None]
