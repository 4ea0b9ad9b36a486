# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat`: how often guests leave the CPU, why, for how long, and who spent the time."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from kvmlog.cli import interval, records, table
from kvmlog.cli.stat import columns, csv_rows, distributions, options, tables
from kvmlog.cli.table import Block, Words
from kvmlog.cli.workload import CommandError, running
from kvmlog.control.client import SwitchClient
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsReader
from kvmlog.stat import words as words_of
from kvmlog.stat.query import SORTS, Query
from kvmlog.stat.report import Moment, Report
from kvmlog.stat.sampler import Sampler
from kvmlog.stat.serialize import report_object
from kvmlog.util.errors import KvmlogError, SwitchError

_FAILED: Final = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog stat`."""
    add_options(parser)
    parser.add_argument(
        "--reset", action="store_true", help="reset the statistics in the bridge, and exit"
    )
    records.add_source(parser)
    records.add_switch(parser)
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND ...",
        help="run this command, show on stderr (or in -o) the exits while it ran, and exit with "
        "its exit status",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that any statistics take, on this host or another."""
    parser.epilog = tables.LEGEND
    interval.add_options(
        parser,
        "print a table every S seconds, of the exits in them (default: one table, since the "
        "statistics began)",
    )
    parser.add_argument(
        "--by",
        type=options.by,
        metavar="KEY,...",
        help="group by guest, reason, and one of vcpu, detail, return, separated by commas "
        "(default guest,reason; for --heat all exits together)",
    )
    parser.add_argument(
        "--vm",
        action="append",
        default=[],
        metavar="NAME|UUID|PID",
        help="show only this guest (see kvmlog guests); repeatable",
    )
    parser.add_argument(
        "--sort",
        choices=list(SORTS),
        help="sort by this figure, greatest first (default total; by return: vmm)",
    )
    parser.add_argument(
        "--top", type=records.positive, metavar="N", help="show only the first N groups"
    )
    parser.add_argument(
        "--halts",
        action="store_true",
        help="list exits that halted among the others, and count them in SHARE",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="by detail: count each address of a device on its own, not the device",
    )
    parser.add_argument(
        "--columns",
        type=columns.parse,
        metavar="NAME,...",
        help=f"show these figures: narrow ({', '.join(columns.NARROW)}; in 80 columns), wide "
        f"(all), or some of {', '.join(columns.FIGURES)}, separated by commas (default: on a "
        "terminal as many as fit, otherwise narrow)",
    )
    plot = parser.add_mutually_exclusive_group()
    plot.add_argument(
        "--hist",
        action="store_true",
        help="show how long exits took: a histogram of each group, by powers of two",
    )
    plot.add_argument(
        "--heat",
        action="store_true",
        help="with -i: show how long exits took over time: a line for each interval (and group of "
        "--by), a cell for each power of two",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per table, times in ns")
    form.add_argument("--csv", action="store_true", help="CSV with a header, times in ns")
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        help="write to FILE (default: stdout)",
    )
    parser.set_defaults(usage_error=parser.error, reset=False, command=[], recording=None)


def run(args: argparse.Namespace) -> int:
    """Return 0, or the command's exit status; KvmlogError when there are no statistics."""
    if args.command[:1] == ["--"]:
        del args.command[0]
    query = options.query(args)
    if args.reset:
        return _reset(args.switch)
    if args.recording is not None:
        return _recorded(args, query)
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(StatisticsReader(args.ring + SUFFIX))
        sampler = Sampler(reader, args.ring, args.switch, query, args.vm, _warn)
        sampler.warn_if_incomplete()
        if args.interval is not None:
            sampler.require(args.interval)
        show = printer(args, stack)
        if args.command:
            return _around(args, sampler, show)
        if args.interval is None:
            show(sampler.since(None, sampler.settled()))
        else:
            with contextlib.suppress(KeyboardInterrupt):
                _every(args, sampler.now(), sampler, show, _asleep)
    return 0


def _recorded(args: argparse.Namespace, query: Query) -> int:
    """Show the exits of a recording."""
    from kvmlog.cli import recorded
    from kvmlog.recording.report import recorded_report

    with contextlib.ExitStack() as stack:
        recording = stack.enter_context(recorded.opened(args.recording))
        show = printer(args, stack, _of_a_recording)
        show(recorded_report(recording, query, args.vm))
    return 0


def _of_a_recording(sentence: str) -> str:
    """Leave out of a sentence what only a running bridge can answer."""
    return sentence.removesuffix("; kvmlog status")


def _reset(switch: str) -> int:
    answer = SwitchClient(switch).send("reset")
    if answer != "ok reset":
        raise SwitchError(answer.removeprefix("error: "))
    print(answer)
    return 0


def _every(
    args: argparse.Namespace,
    base: Moment,
    sampler: Sampler,
    show: Callable[[Report], None],
    ended: Callable[[float], bool],
) -> Moment:
    """Show a report per interval until ended(seconds to wait), or -n; return the last sample."""
    for shown, left_s in enumerate(interval.ticks(args.interval)):
        if shown == args.count or ended(left_s):
            break
        now = sampler.now()
        show(sampler.since(base, now))
        base = now
    return base


def _asleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _around(args: argparse.Namespace, sampler: Sampler, show: Callable[[Report], None]) -> int:
    """Run the command, show the exits meanwhile, and return its exit status."""
    base = dataclasses.replace(sampler.settled(), realtime_ns=time.time_ns())
    try:
        with running(args.command) as command:
            if args.interval is not None:
                base = _every(args, base, sampler, show, command.wait)
            status = command.status
            ended_ns = time.time_ns()
    except CommandError as error:
        _warn(str(error))
        return error.status
    try:
        last = dataclasses.replace(sampler.settled(), realtime_ns=ended_ns)
        show(sampler.since(base, last))
    except KvmlogError as error:
        _warn(str(error))
        return status or _FAILED
    return status


def printer(
    args: argparse.Namespace, stack: contextlib.ExitStack, words: Words = str
) -> Callable[[Report], None]:
    """Return a function that prints a report in the requested form and place; words: as Words."""
    stream: TextIO = sys.stderr if args.command else sys.stdout
    if args.output is not None:
        stream = stack.enter_context(_opened(args.output))
    if args.json:
        return lambda report: table.write([json.dumps(report_object(report))], stream)
    if args.csv:
        return _CsvPrinter(stream, words)
    if args.heat:
        return distributions.HeatPrinter(stream, words, apart=args.heat_apart)
    figures = args.columns or columns.default(stream)

    def blocks(report: Report) -> list[Block]:
        if args.hist:
            width = table.console(stream).width if stream.isatty() else None
            found = distributions.blocks(report, width)
        else:
            found = tables.blocks(report, figures)
        return [words(one) if isinstance(one, str) else one for one in found]

    if args.interval is not None and not args.command and stream.isatty():
        replace = stack.enter_context(table.redrawn(stream))
        return lambda report: replace(blocks(report))
    if args.interval is not None:
        return lambda report: table.show(*blocks(report), "", stream=stream)
    return lambda report: table.show(*blocks(report), stream=stream)


class _CsvPrinter:
    """A printer of CSV: one header for all reports; exits in no group are noted on stderr."""

    def __init__(self, stream: TextIO, words: Words) -> None:
        self._stream = stream
        self._words = words
        self._header = True

    def __call__(self, report: Report) -> None:
        table.write(csv_rows.csv_lines(report, self._header), self._stream)
        self._header = False
        missing = words_of.missing(report)
        if missing:
            _warn(self._words(missing))


def _opened(path: str) -> TextIO:
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise KvmlogError(
            f"{path}: cannot be written ({error.strerror or error}); give another file (-o)"
        ) from None


def _warn(sentence: str) -> None:
    print(f"kvmlog: {sentence}", file=sys.stderr, flush=True)
