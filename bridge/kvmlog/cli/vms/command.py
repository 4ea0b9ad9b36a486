# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog vms`: the VMs of this host, what they use, and their exits."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Callable
from typing import Final

from kvmlog.cli import interval, records, selection
from kvmlog.cli.table import Words
from kvmlog.cli.vms import output
from kvmlog.cli.vms.columns import LEGEND
from kvmlog.cli.vms.figures import SORTS
from kvmlog.cli.vms.local import LocalSource
from kvmlog.cli.vms.poll import Poll
from kvmlog.config.schema.defaults import DEFAULT_VMSTATS
from kvmlog.util.errors import VmStatsError

_NUMBER: Final = re.compile(r"\d+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog vms`."""
    add_options(parser)
    parser.add_argument(
        "--vmstats-file",
        metavar="PATH",
        default=DEFAULT_VMSTATS,
        help="the collector's file (default %(default)s)",
    )
    records.add_ring(parser)
    records.add_switch(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that hold for this host and others."""
    parser.epilog = LEGEND
    interval.add_options(
        parser,
        "print a table now and every S seconds, at least the collector's interval, of the time "
        "between them (default: one, of the collector's last interval)",
    )
    selection.add_vm(parser, "show only this VM; repeatable")
    parser.add_argument(
        "--sort",
        choices=list(SORTS),
        default="cpu",
        help="sort by this figure, greatest first; name: by name (default %(default)s)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="one JSON object per table, with all figures"
    )
    form.add_argument("--csv", action="store_true", help="CSV with a header, with all figures")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Return 0; VmStatsError where there are no figures, or no such VM."""
    interval.check(args)
    with contextlib.ExitStack() as stack:
        source = LocalSource(args.vmstats_file, args.ring, args.switch, args.vm)
        stack.enter_context(source)
        follow(args, stack, source.poll)
    return 0


def follow(
    args: argparse.Namespace,
    stack: contextlib.ExitStack,
    poll: Callable[[float | None], Poll],
    words: Words = str,
) -> None:
    """Print polls as requested until -n, or Ctrl-C; words: as Words.

    poll: waits so many seconds, None: as long as it takes, and returns what there is then.
    """
    show = output.printer(args, stack)
    said: set[str] = set()

    def shown(found: Poll) -> None:
        # Each once as long as it lasts, whatever the figures in it are by now.
        problems = {_NUMBER.sub("", sentence): sentence for sentence in found.problems}
        for kind, sentence in problems.items():
            if kind not in said:
                print(f"kvmlog: {words(sentence)}", file=sys.stderr, flush=True)
        said.clear()
        said.update(problems)
        show(found)

    if args.interval is None:
        shown(poll(None))
        return
    with contextlib.suppress(KeyboardInterrupt):
        first = poll(None)
        _require(args.interval, first.snapshot.collector.interval_s)
        shown(first)
        for printed, left_s in enumerate(interval.ticks(args.interval), start=1):
            if printed == args.count:
                break
            shown(poll(left_s))


def _require(interval_s: float, collected_s: float) -> None:
    if interval_s < collected_s:
        raise VmStatsError(
            f"an interval of {interval_s:g} s: the collector polls every {collected_s:g} s; give "
            f"at least {collected_s:g} s, or lower vmstats.interval_s"
        )
