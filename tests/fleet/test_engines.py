# SPDX-License-Identifier: GPL-2.0-or-later
"""One data set, asked by DuckDB, Spark and ClickHouse: the same counts, sums and percentiles.

`make soak` runs this, with the engines in build/fleet (scripts/packages/fleet.txt). Figures of
docs/fleet-analysis.md are printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.analysis.query.database import asked, parquet_of
from kvmlog.analysis.query.results import json_lines
from kvmlog.analysis.query.views import ddl
from kvmlog.cli.main import main
from kvmlog.exits.reasons.names import reason_name
from kvmlog.recording.reader import Recording
from kvmlog.ring.statistics.reader import By
from tests.support import recordings
from tests.support.scale import FLEET_RECORDS

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = PROJECT / "build" / "fleet" / "bin" / "python"
HOSTS = 4
REASONS = "select * from by_reason"
GUESTS = "select host, guest_name, exits, halts, total_ns, p50_ns, p99_ns from by_guest"
QUESTIONS = {
    "reasons": REASONS,
    "guests": GUESTS,
    "slow": "select count(*) as n, sum(total_ns) as ns from slow",
    "days": "select host, day, count(*) as n, sum(vmm_ns) as ns from exits group by host, day",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of some hosts, FLEET_RECORDS in all."""
    folder = tmp_path_factory.mktemp("fleet")
    root, began = folder / "set", time.monotonic()
    each = FLEET_RECORDS // HOSTS
    for host in range(HOSTS):
        path = folder / f"host{host}.kvmlog"
        guests = [recordings.guest(number) for number in (1, 2)]
        records = recordings.exits(each, seed=host)
        about = recordings.header(host=f"host{host}")
        recordings.write(path, records, guests=guests, about=about)
        assert main(["export", str(path), "--dataset", str(root)]) == 0
    took_s = time.monotonic() - began
    size = sum(path.stat().st_size for path in root.rglob("*.parquet"))
    told(
        f"{FLEET_RECORDS:,} records of {HOSTS} hosts made and exported in {took_s:.0f} s; "
        f"{size:,} bytes, {size / FLEET_RECORDS:.1f} a record"
    )
    return root


def told(line: str) -> None:
    """Print a figure, whatever pytest captures."""
    print(line, file=sys.__stdout__, flush=True)


def by_duckdb(dataset: Path) -> dict[str, list[dict[str, Any]]]:
    """What `kvmlog query` finds."""
    found = {}
    for name, sql in QUESTIONS.items():
        began = time.monotonic()
        with asked(parquet_of(str(dataset)), sql, "4GiB") as rows:
            found[name] = [json.loads(line) for line in json_lines(rows)]
        told(f"DuckDB: {name}: {time.monotonic() - began:.1f} s")
    return found


def by_spark(dataset: Path, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What Spark finds with the DDL for it."""
    (folder / "spark.sql").write_text(ddl("spark", str(dataset)))
    done = subprocess.run(
        [
            PYTHON,
            "-W",
            "ignore",
            Path(__file__).with_name("spark_queries.py"),
            folder / "spark.sql",
        ],
        input=json.dumps(list(QUESTIONS.values())),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    answers = [json.loads(line) for line in lines]
    for name, answer in zip(QUESTIONS, answers, strict=True):
        told(f"Spark: {name}: {answer['seconds']:.1f} s")
    return {name: answer["rows"] for name, answer in zip(QUESTIONS, answers, strict=True)}


def by_clickhouse(dataset: Path, _folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What ClickHouse finds, in a process of its own."""
    code = (
        "import json, sys, time\n"
        "from chdb import session\n"
        "ask = session.Session().query\n"
        "given = json.load(sys.stdin)\n"
        "for one in given['ddl'].split(';\\n'):\n"
        "    one.strip() and ask(one)\n"
        "for one in given['questions']:\n"
        "    began = time.monotonic()\n"
        "    rows = [json.loads(line) for line in str(ask(one, 'JSONEachRow')).splitlines()]\n"
        "    print(json.dumps({'rows': rows, 'seconds': time.monotonic() - began}))\n"
    )
    given = {"ddl": ddl("clickhouse", str(dataset)), "questions": list(QUESTIONS.values())}
    done = subprocess.run(
        [PYTHON, "-c", code], input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for name, answer in zip(QUESTIONS, answers, strict=True):
        told(f"ClickHouse: {name}: {answer['seconds']:.1f} s")
    return {name: answer["rows"] for name, answer in zip(QUESTIONS, answers, strict=True)}


def sorted_rows(rows: list[dict[str, Any]]) -> Iterator[list[tuple[str, str]]]:
    """Rows in an order of their own, numbers that ClickHouse writes as texts as such."""
    return iter(sorted(sorted((name, str(value)) for name, value in row.items()) for row in rows))


@pytest.mark.parametrize("engine", [by_spark, by_clickhouse])
def test_engines_agree(dataset: Path, tmp_path: Path, engine: Any) -> None:
    """Every figure of every row is DuckDB's, percentiles included."""
    expected, found = by_duckdb(dataset), engine(dataset, tmp_path)
    for name in QUESTIONS:
        assert expected[name]
        assert list(sorted_rows(found[name])) == list(sorted_rows(expected[name])), name


def test_they_are_those_of_stat(dataset: Path) -> None:
    """`kvmlog stat --from` the recording of one of the hosts."""
    sql = (
        "select reason_name, count(*) as n, sum(total_ns) as ns, "
        "percentile_disc(0.99) within group (order by total_ns) as p99 "
        "from exits where host = 'host1' group by reason_name"
    )
    with asked(parquet_of(str(dataset)), sql, "4GiB") as rows:
        found = {row["reason_name"]: row for row in map(json.loads, json_lines(rows))}
    with Recording(dataset.parent / "host1.kvmlog") as recording:
        expected = recording.statistics().rows(By.REASON)
    assert len(found) == len(expected) > 3
    for row in expected:
        one = found[reason_name(row.isa, row.reason)]
        assert (one["n"], one["ns"]) == (row.count, row.total_ns)
        assert one["p99"] == pytest.approx(row.p99_ns, rel=0.016)
