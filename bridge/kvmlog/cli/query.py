# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog query`: SQL on a recording or a data set."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from kvmlog.analysis.extra import require
from kvmlog.cli import recorded, table
from kvmlog.exits.search import Selection
from kvmlog.util.errors import UsageError

TABLE: Final = "table"
CSV: Final = "csv"
JSON: Final = "json"
PARQUET: Final = "parquet"
_FORMATS: Final = (TABLE, CSV, JSON, PARQUET)
_DIALECTS: Final = ("duckdb", "spark", "trino", "clickhouse")
# A table is laid out as a whole; other formats are written as they come.
_TABLE_ROWS: Final = 10_000
_PARQUET_START: Final = b"PAR1"

LEGEND: Final = """\
views:
  exits      a row per exit: time, host, guest_name, vcpu, reason_name, detail_words, total_ns, ...
  by_guest   exits, halts and times of each guest: total_ns = kvm_ns + vmm_ns + wait_ns + idle_ns
             + paused_ns; percentiles of exits that did not halt
  by_reason  the same of each reason, halts and exits of nested guests apart
  slow       exits of at least 1 ms that did not halt, slowest first
  losses     records that are missing: when, how many, why
  records    all of it, as docs/export.md has the columns (`describe exits` lists them)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog query`."""
    parser.epilog = LEGEND
    parser.add_argument(
        "source",
        metavar="FILE|DATASET",
        help="a recording (kvmlog record), or what kvmlog export made of some: a Parquet file, the "
        "folder or URI of a data set",
    )
    parser.add_argument("sql", nargs="?", metavar="SQL", help="'select ...', as DuckDB has it")
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default=TABLE,
        help="table, csv, json (an object per row and line), parquet (default table)",
    )
    parser.add_argument("-o", dest="output", metavar="OUT", help="write to this file")
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        default="2GiB",
        help="the most memory that the query may take, as 500MiB (default %(default)s)",
    )
    parser.add_argument(
        "--ddl",
        choices=_DIALECTS,
        help="in place of a query: print the statements that make the same table and views in this "
        "engine, of a data set there",
    )


def run(args: argparse.Namespace) -> int:
    """Print or write what the query finds and return 0; KvmlogError."""
    if args.ddl is not None:
        if args.sql is not None:
            raise UsageError("--ddl is in place of a query; leave out one of them")
        from kvmlog.analysis.query.views import ddl

        print(ddl(args.ddl, args.source), end="")
        return 0
    if args.sql is None:
        raise UsageError("which query? Give one in quotes, as 'select * from by_reason'")
    if args.format == PARQUET and args.output is None:
        raise UsageError("Parquet is nothing for a terminal; give a file (-o)")
    require("kvmlog query", "numpy", "pyarrow", "duckdb")
    from kvmlog.analysis.query.database import asked, parquet_of

    with (
        _parquet_place(args.source) as place,
        asked(parquet_of(place), args.sql, args.memory) as found,
    ):
        if args.format == TABLE and args.output is None:
            _show(found)
        else:
            _write(args, found)
    return 0


@contextlib.contextmanager
def _parquet_place(source: str) -> Iterator[str]:
    """Provide what a query reads: a recording is exported for the time being."""
    if "://" in source or os.path.isdir(source) or _is_parquet(source):
        yield source
        return
    from kvmlog.analysis.export.dataset import write_dataset
    from kvmlog.analysis.export.tables import write_parquet
    from kvmlog.analysis.records.batches import batches_of, identity_of

    with (
        recorded.opened(source) as recording,
        tempfile.TemporaryDirectory(prefix="kvmlog-query-") as folder,
    ):
        view = recorded.view_of(recording, [])
        batches = batches_of(recording, view, Selection())
        if not write_dataset(batches, folder, recording.header, identity_of(recording)):
            # Without a row it has no day, and a data set no file.
            with open(os.path.join(folder, "empty.parquet"), "wb") as stream:
                write_parquet([], stream, recording.header)
        yield folder


def _is_parquet(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(len(_PARQUET_START)) == _PARQUET_START
    except OSError:
        # Whoever reads it as a recording says what is wrong.
        return False


def _write(args: argparse.Namespace, found: Any) -> None:
    from kvmlog.analysis.export.output import STDOUT, written
    from kvmlog.analysis.query import results

    lines: dict[str, Callable[[Any], Iterator[str]]] = {
        CSV: results.csv_lines,
        JSON: results.json_lines,
        TABLE: lambda rows: table.lines([_table(rows)]),
    }
    with written(args.output or STDOUT, force=args.force) as stream:
        if args.format == PARQUET:
            results.write_parquet(found, stream)
        else:
            _write_lines(lines[args.format](found), stream)


def _write_lines(lines: Iterator[str], stream: BinaryIO) -> None:
    for line in lines:
        stream.write(line.encode("utf-8", "backslashreplace") + b"\n")


def _show(found: Any) -> None:
    table.show(_table(found))


def _table(found: Any) -> table.Table:
    """Return the first rows as a table; say on stderr that there are more."""
    from kvmlog.analysis.query import results

    columns = [table.Column(one.name, right=results.is_number(one.type)) for one in found.schema]
    rows = results.rows(found)
    first = [[results.text(value) for value in row] for row in itertools.islice(rows, _TABLE_ROWS)]
    if next(rows, None) is not None:
        recorded.warn(
            f"only the first {_TABLE_ROWS:,} rows are shown; give limit in the query, or --format "
            "csv"
        )
    return table.Table(columns, first)
