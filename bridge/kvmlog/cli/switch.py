# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog switch on|off`: asks the bridge and says what it answered."""

from __future__ import annotations

import argparse
import time
from typing import Any

from kvmlog.cli import selection
from kvmlog.config.schema import DEFAULT_SOCKET
from kvmlog.control.client import SwitchClient, accepted
from kvmlog.control.sampling import (
    EVERY_EXIT,
    MOST_ONE_IN,
    MOST_PER_S,
    MOST_WINDOW_MS,
    Sampling,
    describe_sampling,
)
from kvmlog.control.udp_auth import read_key
from kvmlog.control.udp_client import UdpClient
from kvmlog.util.errors import SwitchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kvmlog switch`."""
    add_wishes(parser)
    parser.add_argument(
        "--switch",
        default=DEFAULT_SOCKET,
        metavar="SOCKET",
        help="the bridge's local socket (default: %(default)s)",
    )
    parser.add_argument(
        "--udp", metavar="HOST:PORT", help="a bridge elsewhere, by signed datagrams; with --key"
    )
    parser.add_argument(
        "--key", metavar="FILE", help="the key that bridge has (its --udp-key), mode 0600"
    )


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """What there is to ask of any bridge, here or elsewhere."""
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
        "--one-in",
        type=int,
        metavar="N",
        help=f"record one exit in N on average (1 to {MOST_ONE_IN:,}; default: each)",
    )
    parser.add_argument(
        "--window",
        type=_window,
        metavar="ON/OFF",
        help="record for ON ms, leave out for OFF ms, and so on (each 1 to "
        f"{MOST_WINDOW_MS:,}; default: at all times)",
    )
    parser.add_argument(
        "--max-per-s",
        type=int,
        metavar="N",
        help="with more than N exits recorded a second, record one in 2, 4, ... by itself "
        f"(1 to {MOST_PER_S:,}; default: no cap)",
    )
    parser.set_defaults(refuse=parser.error)


def run(args: argparse.Namespace) -> int:
    """0 when the bridge acknowledged; SwitchError otherwise."""
    recorded = sampling_of(args)
    if args.udp or args.key:
        return _by_udp(args, plain=not args.vm and args.for_s is None and recorded == EVERY_EXIT)
    answer = SwitchClient(args.switch).switch(args.state == "on", args.vm, args.for_s, recorded)
    if not args.vm and args.for_s is None and recorded == EVERY_EXIT:
        print(answer)
    else:
        print_granted(accepted(answer), args.for_s, recorded)
    return 0


def _by_udp(args: argparse.Namespace, plain: bool) -> int:
    """Prints the answer of a bridge elsewhere; SwitchError when it is none, or a refusal."""
    if not (args.udp and args.key):
        args.refuse("--udp and --key go together: commands to another host are signed")
    if not plain:
        args.refuse("over --udp, on and off take no options; kvmlog remote does")
    answer = UdpClient(args.udp, read_key(args.key)).send(args.state)
    if answer != f"ok {args.state}":
        raise SwitchError(answer.removeprefix("error: "))
    print(answer)
    return 0


def sampling_of(args: argparse.Namespace) -> Sampling:
    """What the options ask for; ends with status 2 where they contradict each other."""
    window = args.window or (None, None)
    members = {
        "one_in": args.one_in,
        "on_ms": window[0],
        "off_ms": window[1],
        "max_per_s": args.max_per_s,
    }
    given = {name: value for name, value in members.items() if value is not None}
    if args.state == "off" and (args.vm or args.for_s is not None or given):
        args.refuse(
            "--vm, --for, --one-in, --window and --max-per-s go with on; off switches off for all "
            "guests, at once"
        )
    try:
        return Sampling.parse(given)
    except SwitchError as error:
        args.refuse(str(error))
        raise


def print_granted(answer: dict[str, Any], for_s: float | None, recorded: Sampling) -> None:
    """Says what a bridge that took the wishes does now."""
    matched = answer.get("matched", {})
    for word, pids in matched.items():
        processes = "process" if len(pids) == 1 else "processes"
        print(f"tracing {word}: {processes} {', '.join(map(str, pids))}")
    if not matched:
        print("tracing all guests")
    for words in describe_sampling(vars(recorded)):
        print(words)
    if for_s is not None:
        end = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + for_s))
        print(f"until {end} ({for_s:g} s), then off by itself")


def _window(value: str) -> tuple[int, int]:
    """Parses "5/95" into (open, closed) milliseconds, for argparse."""
    on, slash, off = value.partition("/")
    if not (slash and on.isascii() and on.isdigit() and off.isascii() and off.isdigit()):
        raise argparse.ArgumentTypeError(
            f"{value!r}: no sampling window; give ms open and ms closed, as in 5/95"
        )
    return int(on), int(off)
