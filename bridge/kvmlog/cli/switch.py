# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog switch on|off`: asks the bridge and says what it answered."""

from __future__ import annotations

import argparse
import time

from kvmlog.bridge.control import DEFAULT_SOCKET, SwitchClient, granted
from kvmlog.cli import selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kvmlog switch`."""
    parser.add_argument("state", choices=("on", "off"))
    selection.add_vm(
        parser,
        "trace this guest only, which has to run, and by a name or UUID also those that start "
        "later; several: any of them (default: all guests)",
    )
    parser.add_argument(
        "--for",
        dest="for_s",
        type=selection.period_s,
        metavar="TIME",
        help="off by itself after so many seconds, or 90s, 5m, 1h (default: on until switched off)",
    )
    parser.add_argument(
        "--switch",
        default=DEFAULT_SOCKET,
        metavar="SOCKET",
        help="the bridge's local socket (default: %(default)s)",
    )
    parser.set_defaults(refuse=parser.error)


def run(args: argparse.Namespace) -> int:
    """0 when the bridge acknowledged; SwitchError otherwise."""
    if args.state == "off" and (args.vm or args.for_s is not None):
        args.refuse("--vm and --for go with on; off switches off for all guests, at once")
    answer = SwitchClient(args.switch).switch(args.state == "on", args.vm, args.for_s)
    if not args.vm and args.for_s is None:
        print(answer)
        return 0
    matched = granted(answer).get("matched", {})
    for word, pids in matched.items():
        processes = "process" if len(pids) == 1 else "processes"
        print(f"tracing {word}: {processes} {', '.join(map(str, pids))}")
    if not matched:
        print("tracing all guests")
    if args.for_s is not None:
        end = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + args.for_s))
        print(f"until {end} ({args.for_s:g} s), then off by itself")
    return 0
