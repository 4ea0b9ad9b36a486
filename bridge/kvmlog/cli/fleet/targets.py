# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog fleet targets`: what Prometheus scrapes of a fleet (file_sd, http_sd)."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from kvmlog.cli import table
from kvmlog.cli.fleet.chosen import add_hosts, hosts_of

_PORTS: Final = range(1, 1 << 16)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog fleet targets`."""
    add_hosts(parser)
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        help="write this file, whole at once and only where it changes (default: stdout)",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help="port of kvmlog metrics (default 50082; with --srv that of the records)",
    )
    parser.add_argument(
        "--tls", action="store_true", help="scrape by https where the list does not say"
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a label of all targets; repeatable",
    )


def run(args: argparse.Namespace) -> int:
    """Write or print the targets; FleetError where there are none, or the file cannot be."""
    from kvmlog.fleet import hosts, targets

    if args.port is not None and args.port not in _PORTS:
        args.refuse_hosts(f"--port {args.port}: give {_PORTS[0]} to {_PORTS[-1]}")
    labels = hosts.labels(args.label)
    found = hosts_of(args, tls=args.tls)
    port = targets.METRICS_PORT if args.port is None and args.srv is None else args.port
    content = targets.text(targets.document(found, port, labels))
    if args.output is None:
        table.write(content.splitlines(), sys.stdout)
    elif targets.write(args.output, content):
        print(f"{args.output}: {len(found)} targets", file=sys.stderr)
    return 0
