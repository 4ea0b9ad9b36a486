# SPDX-License-Identifier: GPL-2.0-or-later
"""Exports, read back by other programs: they have all records, and the sums of `kvmlog stat`."""

from __future__ import annotations

import csv
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

from kvmlog.analysis.export.tables import FILE_SCHEMA
from kvmlog.cli.main import main
from kvmlog.recording.reader import Recording
from kvmlog.ring.statistics.reader import By
from tests.support import exported, recordings

EXITS, RECORDS = 3_000, 3_006


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording whose first guest is named like a formula."""
    return exported.made(tmp_path_factory.mktemp("made") / "r.kvmlog", EXITS)


def export(made: Path, out: Path, *options: str) -> Path:
    """The file that `kvmlog export` writes."""
    assert main(["export", str(made), "-o", str(out), *options]) == 0
    return out


def total_ns(made: Path) -> int:
    """Time in exits, as `kvmlog stat` adds it up."""
    return sum(row.total_ns for row in exported.rows_by_reason(made).values())


def test_parquet_is_read_by_duckdb_and_pandas(made: Path, tmp_path: Path) -> None:
    """Rows, sums and names; the file says of which recording it is."""
    path = export(made, tmp_path / "x.parquet")
    found = duckdb.sql(
        f"select count(*), sum(total_ns), count(distinct guest_name) from '{path}'"
    ).fetchall()
    assert found == [(RECORDS, total_ns(made), 2)]
    frame = pd.read_parquet(path)
    assert len(frame) == RECORDS
    assert int(frame.total_ns.sum()) == total_ns(made)
    assert set(frame.host) == {"host1"}
    assert str(frame.time.dtype) == "datetime64[ns, UTC]"
    assert list(frame.columns) == FILE_SCHEMA.names
    header = json.loads(pq.read_metadata(path).metadata[b"kvmlog.recording"])
    assert (header["host"], header["kernel"]) == ("host1", "6.1.0-57-amd64")


def test_parquet_takes_less_than_40_bytes_a_record(tmp_path: Path) -> None:
    """Real guests stay below it; so does the file in which Arrow has them, by its dictionaries."""
    path = export(exported.REAL, tmp_path / "x.parquet")
    with Recording(exported.REAL) as recording:
        assert path.stat().st_size < 40 * recording.records


def test_arrow_is_read_in_batches(made: Path, tmp_path: Path) -> None:
    """As one table with the same rows as Parquet."""
    path = export(made, tmp_path / "x.arrow")
    table = pa.ipc.open_file(path).read_all()
    assert table.schema.names == FILE_SCHEMA.names
    parquet = pq.read_table(export(made, tmp_path / "x.parquet"))
    assert table.to_pylist() == parquet.to_pylist()


def test_csv_is_harmless_and_numbers_stay_numbers(made: Path, tmp_path: Path) -> None:
    """The name that is a formula has an apostrophe before it; truth is 1 and 0, null is empty."""
    with open(export(made, tmp_path / "x.csv"), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == RECORDS
    assert {row["guest_name"] for row in rows} == {"'" + exported.FORMULA, "web2", ""}
    assert sum(int(row["total_ns"]) for row in rows if row["type"] == "exit") == total_ns(made)
    assert {row["halt"] for row in rows} == {"0", "1", ""}
    assert any(int(row["rip"]) < 0 for row in rows if row["rip"])
    assert {row["delta_ns"] for row in rows} == {"", "-5"}
    dangerous = ("=", "+", "@", "\t", "\r")
    texts = [name for name in rows[0] if name not in ("rip", "delta_ns", "user_errno")]
    assert not any(row[name].startswith(dangerous) for row in rows for name in texts)


def test_lines_of_json_are_those_of_dump(
    made: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Lines are those of `dump --json`, to the byte."""
    path = export(made, tmp_path / "x.jsonl")
    assert main(["dump", "--json", "-n", "100000", "--from", str(made)]) == 0
    assert path.read_bytes() == capsysbinary.readouterr().out
    assert len(path.read_bytes().splitlines()) == RECORDS


@pytest.mark.parametrize(
    ("options", "count"),
    [(["--vm", "web2"], None), (["--reason", "msr"], None), (["--slower-than", "100us"], None)],
)
def test_filters_are_those_of_dump(
    made: Path, tmp_path: Path, options: list[str], count: int | None
) -> None:
    """Columns and lines have the same records, fewer than all."""
    lines = export(made, tmp_path / "x.jsonl", *options).read_bytes().splitlines()
    table = pq.read_table(export(made, tmp_path / "x.parquet", *options))
    wanted = [json.loads(line)["wall_ns"] for line in lines]
    assert table.column("wall_ns").to_pylist() == wanted
    assert 0 < len(wanted) < RECORDS


def packets(path: Path) -> list[Any]:
    """All packets of a trace, unpacked."""
    trace, found = Trace.FromString(path.read_bytes()), Trace()
    for packet in trace.packet:
        found.MergeFromString(zlib.decompress(packet.compressed_packets))
    return list(found.packet)


def test_perfetto_has_a_slice_per_exit(made: Path, tmp_path: Path) -> None:
    """Each is on the track of its vCPU, with reason, arguments, and CLOCK_MONOTONIC."""
    found = packets(export(made, tmp_path / "x.pftrace"))
    names: dict[int, str] = {}
    strings: dict[int, str] = {}
    tracks: dict[int, Any] = {}
    slices: Counter[str] = Counter()
    open_ns: dict[int, int] = {}
    durations_ns = 0
    details = set()
    for packet in found:
        for one in packet.interned_data.event_names:
            names[one.iid] = one.name
        for one in packet.interned_data.debug_annotation_string_values:
            strings[one.iid] = one.str.decode()
        if packet.HasField("track_descriptor"):
            tracks[packet.track_descriptor.uuid] = packet.track_descriptor
        event = packet.track_event
        if event.type == event.TYPE_SLICE_BEGIN:
            assert event.track_uuid not in open_ns
            open_ns[event.track_uuid] = packet.timestamp
            slices[names[event.name_iid]] += 1
            details |= {strings.get(one.string_value_iid) for one in event.debug_annotations}
        elif event.type == event.TYPE_SLICE_END:
            durations_ns += packet.timestamp - open_ns.pop(event.track_uuid)
    expected: Counter[str] = Counter()
    for (reason, *_), row in exported.rows_by_reason(made).items():
        expected[reason] += row.count
    assert slices == expected
    assert open_ns == {}
    assert "port 0x3f8 (com1)" in details
    guests = {one.process.process_name: uuid for uuid, one in tracks.items() if one.process.pid}
    assert guests.keys() == {exported.FORMULA, "web2"}
    vcpus = [one for one in tracks.values() if one.thread.tid]
    assert Counter(one.parent_uuid for one in vcpus) == dict.fromkeys(guests.values(), 2)
    assert {one.thread.thread_name for one in vcpus} == {"vCPU 0", "vCPU 1"}


def test_slices_of_real_guests_have_their_whole_time(tmp_path: Path) -> None:
    """Exits of one vCPU do not overlap, so that the slices last as long as `kvmlog stat` says."""
    sums: Counter[bool] = Counter()
    for packet in packets(export(exported.REAL, tmp_path / "x.pftrace")):
        event = packet.track_event
        if event.type in (event.TYPE_SLICE_BEGIN, event.TYPE_SLICE_END):
            sums[event.type == event.TYPE_SLICE_BEGIN] += packet.timestamp
    assert sums[False] - sums[True] == total_ns(exported.REAL)


def test_perfetto_counts_exits_and_losses(made: Path, tmp_path: Path) -> None:
    """Rates of each guest add up to its exits; losses are counted and named."""
    found = packets(export(made, tmp_path / "x.pftrace"))
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in found}
    values: dict[str, list[int]] = {}
    for packet in found:
        event = packet.track_event
        if event.type == event.TYPE_COUNTER:
            values.setdefault(tracks[event.track_uuid].name, []).append(event.counter_value)
    assert sum(values["exits per s"]) == EXITS * 10
    assert values["records lost"] == [7, 7]
    clocks = {c.clock_id: c.timestamp for p in found for c in p.clock_snapshot.clocks}
    assert clocks[1] - clocks[3] == recordings.STARTED_REALTIME_NS - recordings.STARTED_NS
    words = [b"LOST 7 records" in p.SerializeToString() for p in found]
    assert sum(words) == 1


@pytest.mark.parametrize("halts", [True, False])
def test_folded_stacks_add_up(made: Path, tmp_path: Path, halts: bool) -> None:
    """Each line is frames and a number; together the time of all exits, or their number."""
    options = ["--halts"] if halts else []
    rows = [row for row in exported.rows_by_reason(made).values() if halts or not row.halt]
    for weight, expected in (
        ("time", sum(row.total_ns for row in rows)),
        ("exits", sum(row.count for row in rows)),
    ):
        path = export(made, tmp_path / f"{weight}.folded", "--weight", weight, *options)
        lines = [line.rpartition(" ") for line in path.read_text().splitlines()]
        assert sum(int(amount) for _, _, amount in lines) == expected
        assert {stack.split(";")[0] for stack, _, _ in lines} == {exported.FORMULA, "web2"}
    assert any(stack.endswith(";io;port 0x3f8 (com1)") for stack, _, _ in lines)


def test_a_dataset_has_a_recording_once(made: Path, tmp_path: Path) -> None:
    """Files stand by host and day; what is exported again, in part, replaces what was there."""
    root = tmp_path / "set"
    for options in ([], ["--vm", "web2"], []):
        assert main(["export", str(made), "--dataset", str(root), *options]) == 0
    files = [path for path in root.rglob("*") if path.is_file()]
    assert [path.parent.relative_to(root) for path in files] == [Path("host=host1/day=2025-11-30")]
    found = duckdb.sql(
        f"select count(*), sum(total_ns), min(host) from read_parquet('{root}/**/*.parquet')"
    ).fetchall()
    assert found == [(RECORDS, total_ns(made), "host1")]
    other = recordings.write(
        tmp_path / "other", exported.varied(10), about=recordings.header(host="a/b c")
    )
    assert main(["export", str(other), "--dataset", root.as_uri()]) == 0
    assert sorted(path.name for path in root.iterdir()) == ["host=a%2Fb%20c", "host=host1"]


def test_days_of_a_recording_are_folders(tmp_path: Path) -> None:
    """Midnight, UTC, divides; rows of a day that an export does not have any more are gone."""
    records = exported.varied(100)
    records["exit_ns"][50:] += 86_400 * 10**9
    path = recordings.write(tmp_path / "r", records)
    root = tmp_path / "set"
    assert main(["export", str(path), "--dataset", str(root)]) == 0
    days = sorted(one.parent.name for one in root.rglob("*.parquet"))
    assert days == ["day=2025-11-30", "day=2025-12-01"]
    counts = [pq.read_table(one).num_rows for one in sorted(root.rglob("*.parquet"))]
    assert counts == [52, 50]


def test_guests_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Guests are named by their process, in stacks, whose separators are no part of a name."""
    guests = [recordings.guest(number, "a;b", pid=70 + number) for number in (1, 2)]
    path = recordings.write(tmp_path / "r", exported.varied(200), guests=guests)
    text = export(path, tmp_path / "x.folded").read_text()
    assert {line.split(";")[0] for line in text.splitlines()} == {"a,b:71", "a,b:72"}


def test_exports_have_the_exits_of_stat(tmp_path: Path) -> None:
    """Sums are those of real guests, by vCPU and reason together."""
    table = pq.read_table(export(exported.REAL, tmp_path / "x.parquet"))
    with Recording(exported.REAL) as recording:
        snapshot = recording.statistics()
    expected = Counter(
        {
            (snapshot.guests[row.guest].tgid, row.vcpu): 0
            for row in snapshot.rows(By.GUEST | By.VCPU)
        }
    )
    for row in snapshot.rows(By.GUEST | By.VCPU):
        expected[snapshot.guests[row.guest].tgid, row.vcpu] += row.count
    exits = table.filter(pa.compute.equal(table.column("type").cast(pa.string()), "exit"))
    pids, vcpus = (exits.column(name).to_pylist() for name in ("guest_pid", "vcpu"))
    assert Counter(zip(pids, vcpus, strict=True)) == expected
