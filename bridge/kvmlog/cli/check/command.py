# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog check WHAT`: one question to a `kvmlog rpc`, answered as monitoring plugins answer.

It asks the server, never libvirt: whatever hangs there, it ends in time.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, NoReturn

from kvmlog.cli import selection
from kvmlog.cli.check import exits, services, vms
from kvmlog.cli.check.figures import Measured, judge
from kvmlog.cli.check.ranges import Threshold
from kvmlog.cli.check.status import Outcome, State
from kvmlog.cli.remote.link import add_link, connect
from kvmlog.client import Client
from kvmlog.client.connection import MOST_TIMEOUT_S
from kvmlog.util.errors import KvmlogError
from kvmlog.util.shortage import shortage
from kvmlog.util.version import version

DEFAULT_HOST: Final = "127.0.0.1"
_LEAST_OVER_S: Final = 1.0
_MOST_OVER_S: Final = 60.0
# For a handshake, and some calls that each took almost as long as they may.
_GRACE_S: Final = 2.0

_VMS: Final = {
    "cpu": (vms.cpu, "CPU time, in percent of what its vCPUs could have"),
    "memory": (vms.memory, "memory that the guest cannot do without, in percent"),
    "disk": (vms.disk, "mean time of a request of its slowest disk, in ms"),
    "network": (vms.network, "errors and drops of its interfaces per second"),
    "steal": (vms.steal, "time that its worst vCPU was ready without a CPU, in percent"),
}
_OTHERS: Final = {
    "exits": "exits per second",
    "latency": "99th percentile of the time from exit to re-entry, without halts, in ms",
    "losses": "exits that were lost, in percent (default: -w 0 -c 1)",
    "service": "services of the host that are down",
    "vm": "its state; thresholds are for the number of VMs that run",
}
CHECKS: Final = {**{name: text for name, (_, text) in _VMS.items()}, **_OTHERS}
_DEFAULTS: Final = {"losses": ("0", "1")}


class _TooLateError(KvmlogError):
    """The time for the whole check is over."""


class _Version(argparse.Action):
    """-V, after which plugins end as UNKNOWN."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"check_kvmlog {version()}")
        parser.exit(State.UNKNOWN)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is to be checked, thresholds and the way to the server."""
    about = "; ".join(f"{name}: {text}" for name, text in CHECKS.items())
    parser.add_argument(
        "what",
        choices=tuple(CHECKS),
        metavar="WHAT",
        help=f"of each VM: {about}".replace("%", "%%"),
    )
    selection.add_vm(parser, "check only this VM, which has to be there; repeatable")
    for name, word in (("-w", "warning"), ("-c", "critical")):
        parser.add_argument(
            name,
            f"--{word}",
            metavar="RANGE",
            help=f"{word} unless the figure is within MAX (from 0), MIN:MAX, MIN: or ~:MAX; "
            "@MIN:MAX: if it is",
        )
    parser.add_argument(
        "--over",
        type=float,
        default=_LEAST_OVER_S,
        metavar="S",
        help="exits, latency, losses: of so many seconds (default %(default)g)",
    )
    parser.add_argument(
        "-H",
        "--host",
        default=DEFAULT_HOST,
        metavar="HOST",
        help="HOST, HOST:PORT, [IPv6]:PORT or https://HOST:PORT (default %(default)s)",
    )
    add_link(parser, "-t")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="a line for each VM")
    parser.add_argument(
        "-V", "--version", action=_Version, nargs=0, help="print the version, and exit"
    )
    # Whoever ran it takes the usual 2 for CRITICAL.
    parser.set_defaults(refuse=parser.error)


def usage_error(message: str) -> NoReturn:
    """End for a wrong option: nothing was measured."""
    print("\n".join(Outcome(State.UNKNOWN, message).lines("check")))
    raise SystemExit(State.UNKNOWN)


def run(args: argparse.Namespace) -> int:
    """Print the outcome; return its state, which is UNKNOWN for whatever goes wrong."""
    try:
        outcome = _outcome(args)
    except KvmlogError as error:
        outcome = Outcome(State.UNKNOWN, str(error))
    except Exception as error:  # noqa: BLE001 - a plugin that dies has status 1: WARNING
        told = shortage(error) or f"internal error ({type(error).__name__}: {error})"
        outcome = Outcome(State.UNKNOWN, told)
    lines = outcome.lines(args.what)
    print("\n".join(lines if args.verbose else lines[:1]))
    return int(outcome.state)


def _outcome(args: argparse.Namespace) -> Outcome:
    if not _LEAST_OVER_S <= args.over <= _MOST_OVER_S:
        args.refuse(f"--over {args.over:g}: give {_LEAST_OVER_S:g} to {_MOST_OVER_S:g} s")
    default_warn, default_critical = _DEFAULTS.get(args.what, (None, None))
    warn = _threshold(args.warning, "-w", default_warn)
    critical = _threshold(args.critical, "-c", default_critical)
    with _deadline(args):
        return judge(_measure(args), warn, critical)


def _threshold(given: str | None, option: str, default: str | None) -> Threshold | None:
    text = default if given is None else given
    return None if text is None else Threshold(text, option)


def _measure(args: argparse.Namespace) -> Measured:
    def open_client() -> Client:
        return connect(args, args.host)

    if args.what == "service":
        return services.measure(open_client)
    with open_client() as client:
        if args.what in _VMS:
            return vms.measure(client, args.vm, _VMS[args.what][0])
        others: dict[str, Callable[[], Measured]] = {
            "exits": lambda: exits.rate(client, args.vm, args.over),
            "latency": lambda: exits.latency(client, args.vm, args.over),
            "losses": lambda: exits.losses(client, args.over),
            "vm": lambda: vms.state(client, args.vm),
        }
        return others[args.what]()


@contextlib.contextmanager
def _deadline(args: argparse.Namespace) -> Iterator[None]:
    """Bound the check as a whole; each call on its own is bounded by --timeout."""
    if not 0 < args.timeout <= MOST_TIMEOUT_S:
        args.refuse(
            f"--timeout {args.timeout:g}: give more than 0 s and at most {MOST_TIMEOUT_S:g}"
        )
    whole_s = args.timeout + args.over + _GRACE_S

    def late(_number: int, _frame: FrameType | None) -> Any:
        raise _TooLateError(f"{args.host}: nothing was measured within {whole_s:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, whole_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
