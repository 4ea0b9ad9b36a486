# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog switch on|off`: switch tracing, and print what the bridge traces then."""

from __future__ import annotations

import argparse
import re
import time
from typing import Any, Final

from kvmlog.cli import selection
from kvmlog.config.schema.defaults import DEFAULT_SOCKET
from kvmlog.control.client import SwitchClient, accepted
from kvmlog.control.protocol import LEAST_FOR_S, MOST_FOR_S
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

_S: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_PERIOD: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd]|)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog switch`."""
    add_options(parser)
    parser.add_argument(
        "--switch",
        default=DEFAULT_SOCKET,
        metavar="SOCKET",
        help="the bridge's local socket (default: %(default)s)",
    )
    parser.add_argument(
        "--udp",
        metavar="HOST:PORT",
        help="the bridge of another host, by signed datagrams; requires --key",
    )
    parser.add_argument(
        "--key", metavar="FILE", help="that bridge's key (its --udp-key), mode 0600"
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that any bridge takes, on this host or another."""
    parser.add_argument("state", choices=("on", "off"))
    selection.add_vm(
        parser,
        "trace only this guest (must be running); a name or UUID also matches later guests; "
        "repeatable (default: all guests)",
    )
    parser.add_argument(
        "--for",
        dest="for_s",
        type=period_s,
        metavar="TIME",
        help="switch off automatically after this time: seconds, or 90s, 5m, 1h (default: stay on)",
    )
    parser.add_argument(
        "--one-in",
        type=int,
        metavar="N",
        help=f"record one exit in N on average (1 to {MOST_ONE_IN:,}; default: every exit)",
    )
    parser.add_argument(
        "--window",
        type=_window,
        metavar="ON/OFF",
        help="record for ON ms, pause for OFF ms, and so on (each 1 to "
        f"{MOST_WINDOW_MS:,}; default: record all the time)",
    )
    parser.add_argument(
        "--max-per-s",
        type=int,
        metavar="N",
        help="above N recorded exits per second, record only one in 2, 4, ... "
        f"(1 to {MOST_PER_S:,}; default: no limit)",
    )
    parser.set_defaults(refuse=parser.error)


def run(args: argparse.Namespace) -> int:
    """Return 0 when the bridge acknowledged; SwitchError otherwise."""
    recorded = requested_sampling(args)
    if args.udp or args.key:
        return _by_udp(args, plain=not args.vm and args.for_s is None and recorded == EVERY_EXIT)
    answer = SwitchClient(args.switch).switch(args.state == "on", args.vm, args.for_s, recorded)
    if not args.vm and args.for_s is None and recorded == EVERY_EXIT:
        print(answer)
    else:
        print_accepted(accepted(answer), args.for_s, recorded)
    return 0


def _by_udp(args: argparse.Namespace, plain: bool) -> int:
    """Send by UDP and print the reply; SwitchError when there is none, or an error."""
    if not args.key:
        args.refuse(
            f"--udp {args.udp} needs --key FILE: commands over UDP are signed; a bridge on this "
            "host takes them on its local socket, without --udp"
        )
    if not args.udp:
        args.refuse(f"--key {args.key} needs --udp HOST:PORT: only commands over UDP are signed")
    if not plain:
        args.refuse("over --udp, on and off take no options; kvmlog remote does")
    answer = UdpClient(args.udp, read_key(args.key)).send(args.state)
    if answer != f"ok {args.state}":
        raise SwitchError(answer.removeprefix("error: "))
    print(answer)
    return 0


def requested_sampling(args: argparse.Namespace) -> Sampling:
    """Return the sampling requested; exit with status 2 if options contradict each other."""
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


def print_accepted(answer: dict[str, Any], for_s: float | None, recorded: Sampling) -> None:
    """Print what the bridge does now, after it accepted the request."""
    matched = answer.get("matched", {})
    for word, pids in matched.items():
        processes = "process" if len(pids) == 1 else "processes"
        print(f"tracing {word}: {processes} {', '.join(map(str, pids))}")
    if not matched:
        print("tracing all guests")
    for words in describe_sampling(vars(recorded)):
        print(words)
    if for_s is not None:
        # With its zone: no ring knows what clocks will show.
        end = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(time.time() + for_s))
        print(f"until {end} ({for_s:g} s), then off by itself")


def period_s(value: str) -> float:
    """Parse "60", "90s", "5m", "1h" and the like into seconds, for argparse.

    At least 0.001, at most a year: the bridge's limits.
    """
    match = _PERIOD.fullmatch(value)
    seconds = 0.0 if match is None else round(float(match[1]) * _S[match[2]], 3)
    if match is None or not LEAST_FOR_S <= seconds <= MOST_FOR_S:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a time from 1ms to 365d; give seconds, or a number with ms, s, m, "
            "h or d, as in 5m"
        )
    return seconds


def _window(value: str) -> tuple[int, int]:
    """Parse "5/95" into (on, off) milliseconds, for argparse."""
    on, slash, off = value.partition("/")
    if not (slash and on.isascii() and on.isdigit() and off.isascii() and off.isdigit()):
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a sampling window; give ms on and ms off, as in 5/95"
        )
    return int(on), int(off)
