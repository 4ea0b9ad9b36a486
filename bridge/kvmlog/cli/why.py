# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog why`: watch a VM for some seconds, and say what slows it down."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import Final

from kvmlog.cli import recorded, records, table
from kvmlog.cli.switch import period_s
from kvmlog.cli.table import Words
from kvmlog.config.schema.defaults import DEFAULT_VMSTATS
from kvmlog.control.client import SwitchClient
from kvmlog.guests.names import GuestNames
from kvmlog.rpcserver.vms.selection import VmIndex
from kvmlog.vmstats.reader import SnapshotReader
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.why import words as text
from kvmlog.why.gather.recorded import evidence_of
from kvmlog.why.gather.target import Places
from kvmlog.why.gather.watch import DEFAULT_S, LEAST_S, MOST_S, watch
from kvmlog.why.serialize import verdict_object
from kvmlog.why.verdict import Verdict, judge

_NARROWEST: Final = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog why`."""
    add_options(parser)
    parser.add_argument(
        "--vmstats-file",
        metavar="PATH",
        default=DEFAULT_VMSTATS,
        help="the collector's file (default %(default)s)",
    )
    records.add_source(parser)
    records.add_switch(parser)
    parser.set_defaults(usage_error=parser.error)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that hold for this host and others."""
    parser.add_argument("vm", metavar="VM", help="its name, UUID or pid")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=watched_s,
        default=DEFAULT_S,
        metavar="TIME",
        help=f"watch it so long: seconds, or 10s, 1m ({LEAST_S:g} s to {MOST_S:g} s; default "
        f"{DEFAULT_S:g}s)",
    )
    parser.add_argument(
        "--trace",
        action="store_true",
        help="where tracing is off: switch it on for this VM, for that time",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, with all figures")


def watched_s(value: str) -> float:
    """Parse the time of a watch, for argparse."""
    seconds = period_s(value)
    if not LEAST_S <= seconds <= MOST_S:
        raise argparse.ArgumentTypeError(
            f"{value!r}: a VM is watched for {LEAST_S:g} to {MOST_S:g} seconds; give for example "
            f"{DEFAULT_S:g}s"
        )
    return seconds


def run(args: argparse.Namespace) -> int:
    """Print the verdict and return 0; KvmlogError where there is no such VM."""
    if args.recording is not None:
        if args.trace:
            args.usage_error("--trace is for a VM that runs now; leave it out with --from")
        with recorded.opened(args.recording) as recording:
            show(judge(evidence_of(recording, args.vm)), args.json)
        return 0
    reader = SnapshotReader(args.vmstats_file)

    def found(snapshot: Snapshot, word: str) -> Vm:
        return VmIndex(snapshot, GuestNames(args.ring).guests()).one(word)

    places = Places(args.ring, args.switch, reader.read, found)
    client = SwitchClient(args.switch)

    def trace(vm: str, for_s: float) -> None:
        client.switch(True, (vm,), for_s)

    show(judge(watch(places, args.vm, args.for_s, trace if args.trace else None)), args.json)
    return 0


def show(verdict: Verdict, as_json: bool, words: Words = str) -> None:
    """Print a verdict; words: as Words."""
    if as_json:
        table.write([json.dumps(verdict_object(verdict))], sys.stdout)
        return
    columns = text.COLUMNS
    if sys.stdout.isatty():
        columns = max(_NARROWEST, min(columns, shutil.get_terminal_size().columns))
    table.write((words(line) for line in text.lines(verdict, columns)), sys.stdout)
