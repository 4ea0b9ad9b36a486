# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog export`: a recording in the format of another program."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from kvmlog.analysis.extra import require
from kvmlog.cli import recorded, records, selection
from kvmlog.exits.format.notes import counted
from kvmlog.guests.labels import GuestView
from kvmlog.recording.reader import Recording
from kvmlog.util.errors import UsageError

CSV: Final = "csv"
JSONL: Final = "jsonl"
PARQUET: Final = "parquet"
ARROW: Final = "arrow"
PERFETTO: Final = "perfetto"
FOLDED: Final = "folded"
# Each with the ends of names that mean it.
FORMATS: Final[Mapping[str, tuple[str, ...]]] = {
    CSV: (".csv",),
    JSONL: (".jsonl", ".ndjson"),
    PARQUET: (".parquet",),
    ARROW: (".arrow", ".feather"),
    PERFETTO: (".perfetto", ".pftrace", ".perfetto-trace"),
    FOLDED: (".folded",),
}
_TEXTS: Final = (CSV, JSONL, FOLDED)
_TIME: Final = "time"
_STDOUT: Final = "-"
# Lines of JSON are sorted by time within so many records.
_LINES_AT_ONCE: Final = 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog export`."""
    parser.add_argument("file", metavar="FILE", help="the recording (kvmlog record)")
    parser.add_argument(
        "--format",
        choices=list(FORMATS),
        help="csv, parquet and arrow: a row per record, for spreadsheets and data frames; jsonl: "
        "as dump --json has them; perfetto: for https://ui.perfetto.dev; folded: stacks for flame "
        "graphs and speedscope (default: by the name after -o)",
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="OUT",
        help="write to this file (default: stdout, for text); it is there when it is whole",
    )
    parser.add_argument(
        "--dataset",
        metavar="FOLDER|URI",
        help="write Parquet files into a data set by host and day, in place of -o: a folder, "
        "s3://bucket/folder, gs://bucket/folder; a recording that is there already is replaced",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")
    parser.add_argument(
        "--weight",
        choices=(_TIME, "exits"),
        default=_TIME,
        help="folded: what stacks add up, ns by who spent them or exits (default time)",
    )
    parser.add_argument(
        "--halts", action="store_true", help="folded: exits that halted, too (default: left out)"
    )
    selection.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the export and return 0; KvmlogError where it cannot be made."""
    form = _format(args)
    _require(form)
    with recorded.opened(args.file) as recording:
        view = recorded.view_of(recording, args.vm)
        if args.dataset is not None:
            return _dataset(args, recording, view)
        from kvmlog.analysis.export.output import written

        with written(args.output or _STDOUT, force=args.force) as stream:
            _write(form, args, recording, view, stream)
    return 0


def _format(args: argparse.Namespace) -> str:
    """Return the format asked for; UsageError."""
    if args.dataset is not None:
        if args.output is not None or args.format not in (None, PARQUET):
            raise UsageError("--dataset is of Parquet files, in place of -o; leave out the others")
        return PARQUET
    form: str | None = args.format
    if form is None:
        name = (args.output or "").lower()
        form = next((one for one, ends in FORMATS.items() if name.endswith(ends)), None)
    if form is None:
        raise UsageError(f"which format? Give --format {'|'.join(FORMATS)}, or -o with such a name")
    if form not in _TEXTS and args.output in (None, _STDOUT) and sys.stdout.isatty():
        raise UsageError(f"{form} is nothing for a terminal; give a file (-o)")
    return form


def _require(form: str) -> None:
    if form == JSONL:
        return
    packages = ("numpy", "pyarrow", *(("perfetto",) if form == PERFETTO else ()))
    require(f"kvmlog export --format {form}", *packages)


def _write(
    form: str,
    args: argparse.Namespace,
    recording: Recording,
    view: GuestView,
    stream: BinaryIO,
) -> None:
    if form == JSONL:
        for line in _json_lines(args, recording, view):
            stream.write(line.encode() + b"\n")
    elif form == FOLDED:
        from kvmlog.analysis.export.folded import folded_lines

        batches = _batches(args, recording, view)
        by_time = args.weight == _TIME
        for line in folded_lines(batches, by_time=by_time, halts=args.halts):
            stream.write(line.encode() + b"\n")
    elif form == PERFETTO:
        from kvmlog.analysis.export.perfetto.trace import write_trace

        batches = _batches(args, recording, view)
        write_trace(batches, stream, recording.header, recording.clocks(), recording.first_ns)
    else:
        from kvmlog.analysis.export import tables

        write = {CSV: tables.write_csv, PARQUET: tables.write_parquet, ARROW: tables.write_arrow}
        write[form](_batches(args, recording, view), stream, recording.header)


def _json_lines(args: argparse.Namespace, recording: Recording, view: GuestView) -> Iterator[str]:
    """Yield what `kvmlog dump --json` prints of the same records."""
    chosen = selection.from_arguments(args, view)
    from kvmlog.recording.pieces import gathered
    from kvmlog.ring.records import unpack_records

    blocks = (chosen.passed(block) for block in recording.blocks())
    for piece in gathered(blocks, _LINES_AT_ONCE):
        found = unpack_records(piece)
        view.learn(found)
        yield from records.record_lines(found, recording.clocks(), view, as_json=True)


def _batches(args: argparse.Namespace, recording: Recording, view: GuestView) -> Iterator[Any]:
    from kvmlog.analysis.records.batches import batches_of

    return batches_of(recording, view, selection.from_arguments(args, view))


def _dataset(args: argparse.Namespace, recording: Recording, view: GuestView) -> int:
    from kvmlog.analysis.export.dataset import write_dataset
    from kvmlog.analysis.records.batches import identity_of

    rows = write_dataset(
        _batches(args, recording, view), args.dataset, recording.header, identity_of(recording)
    )
    name = os.path.basename(args.file)
    recorded.warn(f"{name}: {counted(rows, 'record')} are in {args.dataset} now")
    return 0
