# SPDX-License-Identifier: GPL-2.0-or-later
"""Exports with a row per record: Parquet, Arrow, CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from kvmlog.analysis.records import fields
from kvmlog.analysis.records.batches import SCHEMA
from kvmlog.recording.header import Header
from kvmlog.util.spreadsheet import harmless

_HOST: Final = pa.schema(
    pa.field(one.name, pa.dictionary(pa.int32(), pa.string()), nullable=False)
    for one in fields.PARTITIONS
)
# A file of its own says in each row what a data set says in the names of its folders.
FILE_SCHEMA: Final = pa.schema([*_HOST, *SCHEMA])
_METADATA: Final = b"kvmlog.recording"
_US_OF_DAY: Final = 86_400_000_000

# Times grow: differences take less; of the digits of durations the low ones are noise.
_ENCODINGS: Final = {
    **dict.fromkeys(("time", "wall_ns", "monotonic_ns"), "DELTA_BINARY_PACKED"),
    **dict.fromkeys(("total_ns", "kvm_ns"), "BYTE_STREAM_SPLIT"),
}


def parquet_writer(where: Any, schema: Any, header: Header, filesystem: Any = None) -> Any:
    """Return a ParquetWriter for batches of FILE_SCHEMA or SCHEMA; the file carries the header."""
    metadata = {_METADATA: json.dumps(vars(header)).encode()}
    return pq.ParquetWriter(
        where,
        schema.with_metadata(metadata),
        filesystem=filesystem,
        version="2.6",
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in schema.names if name not in _ENCODINGS],
        column_encoding=_ENCODINGS,
    )


def write_parquet(batches: Iterable[Any], stream: BinaryIO, header: Header) -> None:
    """Write a Parquet file, a row group per batch."""
    with parquet_writer(stream, FILE_SCHEMA, header) as writer:
        for batch in batches:
            writer.write_batch(with_host(batch, header.host))


def write_arrow(batches: Iterable[Any], stream: BinaryIO, header: Header) -> None:
    """Write an Arrow IPC file (Feather V2), compressed; dictionaries grow from batch to batch."""
    options = pa.ipc.IpcWriteOptions(compression="zstd", emit_dictionary_deltas=True)
    schema = FILE_SCHEMA.with_metadata({_METADATA: json.dumps(vars(header)).encode()})
    with pa.ipc.new_file(stream, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(with_host(batch, header.host))


def write_csv(batches: Iterable[Any], stream: BinaryIO, header: Header) -> None:
    """Write CSV with a header; texts that a spreadsheet would take for formulas are harmless.

    Null is empty, truth is 1 and 0, texts are quoted.
    """
    schema = pa.schema(pa.field(one.name, _csv_type(one.type)) for one in FILE_SCHEMA)
    with pyarrow.csv.CSVWriter(stream, schema) as writer:
        for batch in batches:
            wide = with_host(batch, header.host)
            writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [_csv_column(one) for one in wide.columns], schema=schema
                )
            )


def with_host(batch: Any, host: str) -> Any:
    """Return a batch of FILE_SCHEMA: host and day before the columns."""
    rows = len(batch)
    hosts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([host]))
    days = day_numbers(batch)
    distinct = days.dictionary_encode()
    texts = pa.array([day_text(day) for day in distinct.dictionary.to_pylist()], pa.string())
    named = pa.DictionaryArray.from_arrays(distinct.indices, texts)
    return pa.RecordBatch.from_arrays([hosts, named, *batch.columns], schema=FILE_SCHEMA)


def day_numbers(batch: Any) -> Any:
    """Return the day of each row, in days since 1970, UTC."""
    us = batch.column("time").cast(pa.int64())
    # Rounded down, before 1970 as well.
    return pc.cast(pc.floor(pc.divide(pc.cast(us, pa.float64()), float(_US_OF_DAY))), pa.int32())


def day_text(day: int) -> str:
    """Return "2026-11-30" for a number of days since 1970."""
    return str(pa.scalar(day, pa.date32()).as_py())


def _csv_type(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return pa.int8() if pa.types.is_boolean(kind) else kind


def _csv_column(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        texts = pa.array([harmless(text) for text in column.dictionary.to_pylist()], pa.string())
        return texts.take(column.indices)
    return column.cast(_csv_type(column.type))
