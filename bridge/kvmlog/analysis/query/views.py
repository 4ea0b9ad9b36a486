# SPDX-License-Identifier: GPL-2.0-or-later
"""The views that SQL is asked on, and their DDL for each engine: docs/fleet-analysis.md has it.

One text for all; only percentiles and the table of records are said differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kvmlog.analysis.records import fields

RECORDS: Final = "records"
DUCKDB: Final = "duckdb"
SPARK: Final = "spark"
TRINO: Final = "trino"
CLICKHOUSE: Final = "clickhouse"
DIALECTS: Final = (DUCKDB, SPARK, TRINO, CLICKHOUSE)

# From here on an exit is in `slow`; halts are not, which end when the guest wants it.
SLOW_NS: Final = 1_000_000
_ONLY_NOTES: Final = ("lost", "lost_total", "cause", "event", "delta_ns", "words", "type")
_SPLIT: Final = ("total_ns", "kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
_PERCENTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))

# The least of the values that so much of them do not exceed, which `kvmlog stat` shows, too.
_PERCENTILE: Final[Mapping[str, Callable[[str, float], str]]] = {
    DUCKDB: lambda value, part: f"percentile_disc({part}) WITHIN GROUP (ORDER BY {value})",
    # Spark's is a double.
    SPARK: lambda value, part: (
        f"CAST(percentile_disc({part}) WITHIN GROUP (ORDER BY {value}) AS BIGINT)"
    ),
    # Trino has approximate ones only.
    TRINO: lambda value, part: f"approx_percentile({value}, {part})",
    CLICKHOUSE: lambda value, part: f"quantileExactLow({part})({value})",
}
_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    SPARK: {
        fields.TEXT: "STRING",
        fields.INT: "BIGINT",
        fields.SMALL: "INT",
        fields.TRUTH: "BOOLEAN",
        fields.TIME: "TIMESTAMP",
    },
    TRINO: {
        fields.TEXT: "varchar",
        fields.INT: "bigint",
        fields.SMALL: "integer",
        fields.TRUTH: "boolean",
        fields.TIME: "timestamp(6) with time zone",
    },
}
_PLACES: Final = {
    DUCKDB: "/data/exits",
    SPARK: "s3a://bucket/exits",
    TRINO: "s3://bucket/exits",
    CLICKHOUSE: "https://bucket.s3.amazonaws.com/exits",
}


def views(dialect: str = DUCKDB) -> dict[str, str]:
    """Return the SELECT of each view by its name, in the order in which they can be made."""
    return {
        "exits": _exits(),
        "by_guest": _by_guest(dialect),
        "by_reason": _by_reason(dialect),
        "slow": _slow(),
        "losses": _losses(),
    }


def ddl(dialect: str, place: str | None = None) -> str:
    """Return statements that make the table of records at a place, and the views, each with ";"."""
    table = _TABLES[dialect]((place or _PLACES[dialect]).rstrip("/"))
    made = [f"CREATE OR REPLACE VIEW {name} AS\n{text}" for name, text in views(dialect).items()]
    return "\n\n".join(f"{one};" for one in (*table, *made)) + "\n"


def _exits() -> str:
    names = [one.name for one in (*fields.PARTITIONS, *fields.FIELDS)]
    chosen = _lines([name for name in names if name not in _ONLY_NOTES])
    return f"SELECT\n{chosen}\nFROM {RECORDS}\nWHERE type = 'exit'"


def _by_guest(dialect: str) -> str:
    keys = "host, guest_name, guest_uuid, guest_pid"
    busy = "CASE WHEN NOT e.halt THEN e.total_ns END"
    columns = [
        *keys.split(", "),
        "count(*) AS exits",
        "count(CASE WHEN e.halt THEN 1 END) AS halts",
        *(f"sum(e.{name}) AS {name}" for name in _SPLIT),
        *(f"{_PERCENTILE[dialect](busy, part)} AS {name}_ns" for name, part in _PERCENTILES),
        f"max({busy}) AS max_ns",
        "min(e.time) AS first_time",
        "max(e.time) AS last_time",
    ]
    return f"SELECT\n{_lines(columns)}\nFROM exits AS e\nGROUP BY {keys}\nORDER BY total_ns DESC"


def _by_reason(dialect: str) -> str:
    keys = "isa, reason_name, halt, nested, handled_by"
    columns = [
        *keys.split(", "),
        "count(*) AS exits",
        *(f"sum(e.{name}) AS {name}" for name in _SPLIT),
        "min(e.total_ns) AS min_ns",
        *(
            f"{_PERCENTILE[dialect]('e.total_ns', part)} AS {name}_ns"
            for name, part in _PERCENTILES
        ),
        "max(e.total_ns) AS max_ns",
    ]
    return f"SELECT\n{_lines(columns)}\nFROM exits AS e\nGROUP BY {keys}\nORDER BY total_ns DESC"


def _slow() -> str:
    columns = [
        *("time", "wall_ns", "host", "guest_name", "vcpu", "reason_name", "detail_words"),
        *_SPLIT,
        *("user_reason_name", "rip", "recording"),
    ]
    return (
        f"SELECT\n{_lines(columns)}\nFROM exits\nWHERE NOT halt AND total_ns >= {SLOW_NS}\n"
        "ORDER BY total_ns DESC"
    )


def _losses() -> str:
    columns = ["time", "wall_ns", "host", "cpu", "lost", "lost_total", "cause", "words"]
    return f"SELECT\n{_lines([*columns, 'recording'])}\nFROM {RECORDS}\nWHERE type = 'loss'"


def _lines(columns: list[str]) -> str:
    return ",\n".join(f"  {one}" for one in columns)


def _typed(dialect: str) -> str:
    kinds = _TYPES[dialect]
    # Partitions come last, in both engines.
    every = (*fields.FIELDS, *fields.PARTITIONS)
    return _lines([f"{one.name} {kinds[one.kind]}" for one in every])


def _duckdb_table(place: str) -> list[str]:
    return [
        f"CREATE OR REPLACE VIEW {RECORDS} AS\nSELECT * FROM read_parquet(\n"
        f"  {_text(place + '/**/*.parquet')}, hive_partitioning = true,\n"
        "  hive_types = {'host': VARCHAR, 'day': VARCHAR}\n)"
    ]


def _spark_table(place: str) -> list[str]:
    return [
        f"CREATE TABLE {RECORDS} (\n{_typed(SPARK)}\n)\nUSING PARQUET\n"
        f"PARTITIONED BY (host, day)\nLOCATION {_text(place)}",
        f"ALTER TABLE {RECORDS} RECOVER PARTITIONS",
    ]


def _trino_table(place: str) -> list[str]:
    return [
        f"CREATE TABLE {RECORDS} (\n{_typed(TRINO)}\n)\nWITH (\n"
        f"  external_location = {_text(place)},\n  format = 'PARQUET',\n"
        "  partitioned_by = ARRAY['host', 'day']\n)",
        f"CALL system.sync_partition_metadata(CURRENT_SCHEMA, '{RECORDS}', 'FULL')",
    ]


def _clickhouse_table(place: str) -> list[str]:
    files = _text(place + "/**/*.parquet")
    source = f"s3({files}, 'Parquet')" if "://" in place else f"file({files}, 'Parquet')"
    return [
        f"CREATE OR REPLACE VIEW {RECORDS} AS\nSELECT * FROM {source}\n"
        "SETTINGS use_hive_partitioning = 1"
    ]


_TABLES: Final[Mapping[str, Callable[[str], list[str]]]] = {
    DUCKDB: _duckdb_table,
    SPARK: _spark_table,
    TRINO: _trino_table,
    CLICKHOUSE: _clickhouse_table,
}


def _text(value: str) -> str:
    quoted = value.replace("'", "''")
    return f"'{quoted}'"
