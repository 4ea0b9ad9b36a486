# SPDX-License-Identifier: GPL-2.0-or-later
"""What a query found, as CSV, lines of JSON, Parquet, and rows of text for a table."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from kvmlog.util.spreadsheet import csv_line


def write_parquet(found: Any, stream: BinaryIO) -> None:
    """Write a Parquet file."""
    with pq.ParquetWriter(stream, found.schema, compression="zstd") as writer:
        for batch in found:
            writer.write_batch(batch)


def csv_lines(found: Any) -> Iterator[str]:
    """Yield the header and a line per row, harmless in spreadsheets; null is empty."""
    yield csv_line(found.schema.names)
    for row in rows(found):
        yield csv_line(_cell(value) for value in row)


def json_lines(found: Any) -> Iterator[str]:
    """Yield an object per row, with the names of the columns."""
    names = found.schema.names
    for row in rows(found):
        yield json.dumps(dict(zip(names, map(_json, row), strict=True)))


def rows(found: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the rows as Python values."""
    for batch in found:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def text(value: Any) -> str:
    """Return a value as a cell of a table; "" for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(_cell(value))


def is_number(kind: Any) -> bool:
    """Return whether a column is of numbers, which a table has on the right."""
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _cell(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, dict | list | tuple):
        return json.dumps(_json(value))
    if value is None or isinstance(value, bool | int | float | decimal.Decimal | str):
        return value
    return _json(value)


def _json(value: Any) -> Any:
    """Return a value as JSON has it: numbers as numbers, what it lacks as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, decimal.Decimal):
        # Sums of whole numbers are decimals without a fraction.
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, dict):
        return {str(key): _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
