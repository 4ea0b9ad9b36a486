# SPDX-License-Identifier: GPL-2.0-or-later
"""A database with the views of kvmlog, in which a query can read the records and nothing else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from kvmlog.analysis.export.dataset import place_of
from kvmlog.analysis.query.views import RECORDS, views
from kvmlog.analysis.records import fields
from kvmlog.analysis.records.batches import SCHEMA
from kvmlog.util.errors import KvmlogError

_SQL_BYTES: Final = 1 << 20
_ALLOWED: Final = "SELECT"
# What a query can neither take back nor get around.
_CONFINED: Final = (
    "SET python_enable_replacements = false",
    "SET temp_directory = ''",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
_POSITION: Final = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^", re.DOTALL)
_LONGEST: Final = 600


_PARTITIONS: Final = tuple(one.name for one in fields.PARTITIONS)
# Texts are no dictionaries, which parts of a data set need not share.
_PLAIN: Final = pa.schema(
    [
        *((one, pa.string()) for one in _PARTITIONS),
        *((one.name, getattr(one.type, "value_type", one.type)) for one in SCHEMA),
    ]
)


class QueryError(KvmlogError):
    """A query cannot be carried out."""


def parquet_of(where: str) -> Any:
    """Return the records of a data set, or of one Parquet file, by pyarrow; QueryError."""
    filesystem, path = place_of(where)
    partitions = ds.partitioning(
        pa.schema([(one, pa.string()) for one in _PARTITIONS]), flavor="hive"
    )
    try:
        found = ds.dataset(
            path, schema=_PLAIN, filesystem=filesystem, format="parquet", partitioning=partitions
        )
        first = next(found.get_fragments(), None)
        names = () if first is None else first.physical_schema.names
    except (OSError, pa.ArrowException, ValueError) as error:
        raise QueryError(f"{where}: cannot be read ({_first_line(error)})") from None
    if first is None:
        raise QueryError(f"{where}: has no Parquet file; make one: kvmlog export --dataset {where}")
    missing = [one.name for one in fields.FIELDS if one.name not in names]
    if missing:
        raise QueryError(
            f"{where}: its records have no {missing[0]}, so that this kvmlog export has not made "
            "them; give a recording, a data set (kvmlog export --dataset) or a Parquet file of one"
        )
    return found


@contextlib.contextmanager
def asked(records: Any, sql: str, memory: str) -> Iterator[Any]:
    """Provide the answer to one question, a RecordBatchReader; QueryError.

    records: of parquet_of(); memory: the most that DuckDB may take, "2GiB".
    """
    try:
        database = duckdb.connect(
            config={
                "memory_limit": memory,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        )
    except duckdb.Error as error:
        raise QueryError(f"--memory {memory}: {_first_line(error)}") from None
    try:
        with _errors_of(sql):
            database.register(RECORDS, records)
            for name, text in views().items():
                database.execute(f"CREATE VIEW {name} AS {text}")
            for statement in _CONFINED:
                database.execute(statement)
            yield _answer(database, _one_of(sql))
    finally:
        database.close()


def _answer(database: Any, statement: Any) -> Any:
    try:
        return database.sql(statement).to_arrow_reader()
    except (duckdb.BinderException, duckdb.CatalogException):
        # Only this tells where in the query it is.
        database.execute(statement)
        raise


def _one_of(sql: str) -> Any:
    """Return the one statement of a text, which only reads; QueryError."""
    if len(sql.encode("utf-8", "surrogatepass")) > _SQL_BYTES:
        raise QueryError(f"a query of more than {_SQL_BYTES} bytes; give a shorter one")
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"{len(statements)} statements; give one, which begins with select")
    if statements[0].type.name != _ALLOWED:
        raise QueryError(
            f"{statements[0].type.name} is refused: a query only reads; give one that begins with "
            "select, and -o FILE for what it finds"
        )
    return statements[0]


@contextlib.contextmanager
def _errors_of(sql: str) -> Iterator[None]:
    """Make sentences of what DuckDB says, with the position in the query."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise QueryError(
            f"the query takes too much memory ({_first_line(error)}); ask for less, or give more "
            "(--memory)"
        ) from None
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except (duckdb.Error, pa.ArrowException, OSError, UnicodeError) as error:
        raise QueryError(_sentence(str(error), sql)) from None


def _sentence(message: str, sql: str) -> str:
    """Return DuckDB's message on one line; its arrow below the query becomes line and column."""
    found = _POSITION.search(message)
    if found is None:
        text = message
    else:
        line = int(found[1])
        shown, column = found[2], len(found[3]) - len(f"LINE {line}: ") + 1
        lines = sql.split("\n")
        whole = lines[line - 1] if line <= len(lines) else shown
        # Of a long line DuckDB shows a part, between dots.
        part = shown.removeprefix("...").removesuffix("...")
        if shown.startswith("...") and part in whole:
            column += whole.index(part) - len("...")
        text = f"{message[: found.start()]} (line {line}, column {column} of the query)"
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
