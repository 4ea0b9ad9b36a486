# SPDX-License-Identifier: GPL-2.0-or-later
"""SQL on recordings and data sets: views that say what stat says, and nothing but reading."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvmlog.analysis.query.database import QueryError, asked, parquet_of
from kvmlog.analysis.query.views import DIALECTS, ddl
from kvmlog.cli.main import main
from tests.support import exported

EXITS = 2_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording whose first guest is named like a formula."""
    return exported.made(tmp_path_factory.mktemp("made") / "r.kvmlog", EXITS)


@pytest.fixture(scope="module")
def dataset(made: Path) -> Path:
    """The same as a data set."""
    root = made.parent / "set"
    assert main(["export", str(made), "--dataset", str(root)]) == 0
    return root


def objects(capsys: pytest.CaptureFixture[str], source: Path, sql: str) -> list[dict[str, Any]]:
    """The rows that a query prints as JSON."""
    capsys.readouterr()
    assert main(["query", str(source), sql, "--format", "json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("isa", ["svm", "vmx"])
def test_by_reason_is_what_stat_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], isa: str
) -> None:
    """Counts and times equal, percentiles within the 1.6 % of the statistics' steps."""
    path = exported.made(tmp_path / "r", EXITS, isa)
    expected = exported.rows_by_reason(path)
    found = objects(capsys, path, "select * from by_reason")
    assert len(found) == len(expected) > 10
    for one in found:
        key = (one["reason_name"], one["halt"], one["nested"], one["handled_by"])
        row = expected[key]
        assert one["exits"] == row.count
        for name in ("total_ns", "min_ns", "max_ns", "kvm_ns", "vmm_ns", "wait_ns", "idle_ns"):
            assert one[name] == getattr(row, name), name
        for name in ("p50_ns", "p90_ns", "p99_ns", "p999_ns"):
            assert one[name] == pytest.approx(getattr(row, name), rel=0.016), name


def test_a_recording_a_file_and_a_dataset_are_asked_alike(
    made: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same rows of each view."""
    file = tmp_path / "x.parquet"
    assert main(["export", str(made), "-o", str(file)]) == 0
    for view in ("by_guest", "by_reason", "slow", "losses", "exits"):
        sql = f"select * from {view} order by all limit 50"
        first = objects(capsys, made, sql)
        assert first == objects(capsys, dataset, sql) == objects(capsys, file, sql)
        assert first or view == "slow"


def test_losses_are_listed(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many, where and why."""
    sql = "select lost, cpu, cause from losses order by wall_ns"
    assert objects(capsys, made, sql) == [
        {"lost": 7, "cpu": 2, "cause": "buffer_full"},
        {"lost": 0, "cpu": None, "cause": "restart"},
    ]


def test_csv_is_harmless(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of guests and of columns; numbers stay numbers."""
    capsys.readouterr()
    sql = 'select guest_name, -sum(exits) as "=n" from by_guest group by all order by 1'
    assert main(["query", str(dataset), sql, "--format", "csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["guest_name", "'=n"]
    assert {row[0] for row in rows[1:]} == {"'" + exported.FORMULA, "web2"}
    assert sum(int(row[1]) for row in rows[1:]) == -EXITS


def test_results_are_written_as_parquet(dataset: Path, tmp_path: Path) -> None:
    """Into a file that is there when it is whole."""
    out = tmp_path / "x.parquet"
    sql = "select guest_name, exits from by_guest"
    assert main(["query", str(dataset), sql, "--format", "parquet", "-o", str(out)]) == 0
    assert sum(pq.read_table(out).column("exits").to_pylist()) == EXITS
    assert [one.name for one in tmp_path.iterdir()] == ["x.parquet"]


def refused(capsys: pytest.CaptureFixture[str], source: Path | str, sql: str, *options: str) -> str:
    """The sentence on stderr."""
    capsys.readouterr()
    assert main(["query", str(source), sql, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("kvmlog: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("copy exits to '{tmp}/x'", "COPY is refused"),
        ("copy (select 1) to '{tmp}/x'", "COPY is refused"),
        ("attach '{tmp}/x' as x", "ATTACH is refused"),
        ("export database '{tmp}/x'", "EXPORT is refused"),
        ("install httpfs", "LOAD is refused"),
        ("set memory_limit = '100GB'", "SET is refused"),
        ("create table x as select 1", "CREATE is refused"),
        ("select 1; copy exits to '{tmp}/x'", "2 statements"),
        ("", "0 statements"),
        ("select * from read_text('/etc/hostname')", "disabled by configuration"),
        ("select * from read_csv('http://127.0.0.1/x')", ""),
        ("select * from '{tmp}/other.parquet'", ""),
        ("select * from glob('/etc/*')", "disabled by configuration"),
        ("select * from query('copy (select 1) to ''{tmp}/x''')", ""),
        ("select * from parquet_of", ""),
    ],
)
def test_a_query_only_reads_the_records(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str, words: str
) -> None:
    """No other file is read or written, no network reached, no limit lifted."""
    assert words in refused(capsys, dataset, sql.format(tmp=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "position"),
    [
        ("selct 1", "line 1, column 1"),
        ("select foo from exits", "line 1, column 8"),
        ("select 1,\n  2,\n  foo from exits", "line 3, column 3"),
        ("select " + "1, " * 200 + "foo from exits", "line 1, column 608"),
        ("select * from exits where", "line 1, column 21"),
    ],
)
def test_an_error_says_where_it_is(
    dataset: Path, capsys: pytest.CaptureFixture[str], sql: str, position: str
) -> None:
    """DuckDB's message in one line, with line and column of the query."""
    assert f"({position} of the query)" in refused(capsys, dataset, sql)


def test_memory_is_limited(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A query beyond it ends with a sentence, and so does a limit that is none."""
    sql = "select array_agg(range) from range(100_000_000)"
    assert "--memory" in refused(capsys, dataset, sql, "--memory", "50MiB")
    assert "--memory x" in refused(capsys, dataset, "select 1", "--memory", "x")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "there is no such recording"),
        ("foreign", "no recording"),
        ("folder", "has no Parquet file"),
        ("other.parquet", "have no type"),
        ("cut.parquet", "cannot be read"),
        ("nowhere://x/y", "is no place for a data set"),
    ],
)
def test_what_cannot_be_asked_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    """Each with a sentence that says what to give."""
    (tmp_path / "foreign").write_text("hello, this is no recording at all\n" * 10)
    (tmp_path / "folder").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "other.parquet").read_bytes()[:90])
    source = name if "://" in name else tmp_path / name
    assert words in refused(capsys, source, "select 1")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of a few records."""
    folder = tmp_path_factory.mktemp("few")
    root = folder / "set"
    assert main(["export", str(exported.made(folder / "r", 20)), "--dataset", str(root)]) == 0
    return root


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=30))
def test_any_text_is_a_query_or_an_error(few: Path, text: str) -> None:
    """Whatever is typed ends in rows, or in a sentence: no other exception."""
    sentence = ""
    try:
        with asked(parquet_of(str(few)), f"select {text}", "200MiB") as found:
            found.read_all()
    except QueryError as error:
        sentence = str(error)
    assert "\n" not in sentence


def test_duckdb_runs_its_ddl(dataset: Path) -> None:
    """The statements that --ddl prints make the same views elsewhere."""
    with duckdb.connect() as other:
        for statement in ddl("duckdb", str(dataset)).split(";\n"):
            if statement.strip():
                other.execute(statement)
        assert other.execute("select sum(exits) from by_guest").fetchall() == [(EXITS,)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_guide_has_the_ddl(dialect: str) -> None:
    """docs/fleet-analysis.md shows what `kvmlog query --ddl` prints."""
    guide = Path(__file__).resolve().parents[3] / "docs" / "fleet-analysis.md"
    assert ddl(dialect) in guide.read_text(encoding="utf-8")
