# SPDX-License-Identifier: GPL-2.0-or-later
"""stat, dump, tail, guests and explain --from FILE: as of the ring, and what is wrong."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.cli.main import main
from kvmlog.native import ffi, lib
from kvmlog.recording.reader import Recording
from kvmlog.recording.writer import RecordingWriter
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from tests.native import lib as testing
from tests.support import recordings
from tests.support.bridge_process import HANG_S, KVMLOG, until
from tests.support.guests_file import write_guests

REAL = Path(__file__).resolve().parents[1] / "data/recordings/two-guests-boot.kvmlog"
INTEL = REAL.with_name("two-guests-boot-intel.kvmlog")
COMMANDS = ("stat", "dump", "tail", "guests", "explain")
BY = ("guest,reason", "reason,detail", "guest,vcpu", "guest,return", "reason")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A ring with its statistics, and what `kvmlog record` made while it was written."""
    folder = tmp_path_factory.mktemp("both")
    ring, file = folder / "ring", folder / "x.kvmlog"
    began_ns = time.monotonic_ns()
    guests = [
        recordings.guest(number, name, numbers=((number, began_ns),))
        for number, name in ((1, "web1"), (2, "db1"))
    ]
    write_guests(ring, guests)
    stream = recordings.announcements(guests)
    stream += recordings.exits(20_000, started_ns=began_ns + 1).tobytes()
    with RingWriter(str(ring), 32_768) as writer:
        statistics = StatisticsWriter(f"{ring}.statistics", writer, 4)
        writer.switched(True, lib.KVMLOG_SOURCE_KMOD)
        places = ["--ring", str(ring), "--switch", str(folder / "switch")]
        command = [*KVMLOG, "record", "-o", str(file), *places]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recorder:
            until(lambda: file.exists() and file.stat().st_size > 0)
            native = ffi.from_buffer("struct kvmlog_record[]", stream)
            lib.kvmlog_writer_append(writer.native, native, len(native))
            testing.kvmlog_test_count(statistics.native, native, len(native))
            statistics.flush()
            until(lambda: records_in(file) == 20_002)
            recorder.send_signal(signal.SIGINT)
            assert recorder.wait(HANG_S) == 0
        yield str(ring), str(file)
        statistics.close()


def records_in(file: Path) -> int:
    """How many records there are."""
    with Recording(file) as recording:
        return recording.records


def kvmlog(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: what a process adds is tested elsewhere, and takes longer."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as error:
            status = int(str(error.code))
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def lines(*arguments: str) -> list[str]:
    """What a command prints."""
    done = kvmlog(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "options",
    [
        ("-n", "30000"),
        ("-n", "7"),
        ("-n", "50", "--vm", "db1"),
        ("-n", "200", "--reason", "npf", "--slower-than", "5us"),
        ("-n", "30", "--vm", "web1", "--reason", "KVM_EXIT_IO", "--json"),
        ("-n", "3000", "--json"),
    ],
)
def test_dump_is_the_same(both: tuple[str, str], options: tuple[str, ...]) -> None:
    """Line by line."""
    ring, file = both
    found = lines("dump", "--from", file, *options)
    assert found == lines("dump", "--ring", ring, *options)
    assert len(found) >= 7


@pytest.mark.parametrize("by", BY)
def test_stat_is_the_same(both: tuple[str, str], by: str) -> None:
    """Counts, sums and percentiles of each group; the span is the recording's."""
    ring, file = both

    def told(*source: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(lines("stat", "--json", "--by", by, *source)[0])
        for name in ("since", "until", "since_realtime_ns", "until_realtime_ns", "age_s"):
            del found[name]
        del found["statistics_id"], found["since_utc_offset_s"], found["until_utc_offset_s"]
        return found

    live, recorded = told("--ring", ring), told("--from", file)
    assert recorded == live
    assert sum(row["count"] for row in recorded["rows"]) == recorded["exits"] == 20_000


def test_stat_of_chosen_guests_and_as_csv(both: tuple[str, str]) -> None:
    """The other options are as of the statistics."""
    ring, file = both
    rows = [
        list(csv.DictReader(io.StringIO("\n".join(lines("stat", *source, "--csv", "--vm", "db1")))))
        for source in (("--ring", ring), ("--from", file))
    ]
    for row in (*rows[0], *rows[1]):
        for name in [name for name in row if name.startswith(("since", "until"))]:
            del row[name]
    assert rows[0] == rows[1] != []
    table = lines("stat", "--from", file, "--top", "2")
    assert table[0].endswith(": 20,000 exits")


def test_guests_are_the_same(both: tuple[str, str]) -> None:
    """Names, UUIDs, numbers, and how many exits each had."""
    ring, file = both
    live = [
        json.loads(line) for line in kvmlog("guests", "--ring", ring, "--json").stdout.splitlines()
    ]
    recorded = [json.loads(line) for line in lines("guests", "--from", file, "--json")]
    assert recorded == live
    assert [one["name"] for one in recorded] == ["web1", "db1"]
    assert sum(one["exits"] for one in recorded) == 20_000


def test_tail_ends_with_the_recording(both: tuple[str, str]) -> None:
    """The last ten, and no more comes."""
    _, file = both
    assert lines("tail", "--from", file) == lines("dump", "-n", "10", "--from", file)
    assert len(lines("tail", "--from", file, "-n", "0")) == 1


def test_tail_follows_a_recording_that_is_written(tmp_path: Path) -> None:
    """Each block as it comes, until the end."""
    from kvmlog.recording import output

    file = tmp_path / "x"
    fd = output.create(str(file))
    try:
        with RecordingWriter(fd, recordings.header(), recordings.CLOCKS) as writer:
            command = [*KVMLOG, "tail", "--from", str(file), "-n", "0", "--reason", "npf"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
                assert tail.stdout is not None
                assert tail.stdout.readline().startswith("TIME")
                records = recordings.exits(100)
                for part in (records[:50], records[50:]):
                    writer.append(part.tobytes())
                    writer.flush()
                    wanted = int((part["reason"] == 0x400).sum())
                    shown = [tail.stdout.readline() for _ in range(wanted)]
                    assert all(" npf " in line for line in shown)
                writer.end("done")
                assert tail.stdout.read() == ""
                assert tail.wait(HANG_S) == 0
    finally:
        os.close(fd)


def test_explain_what_took_most_time(both: tuple[str, str]) -> None:
    """The first three, halts left out; or the one that is asked for."""
    _, file = both
    heads = [line for line in lines("explain", "--from", file) if " (svm exit 0x" in line]
    assert [head.split(" ")[0] for head in heads] == ["io", "npf", "interrupt"]
    (told,) = [json.loads(line) for line in lines("explain", "hlt", "--from", file, "--json")]
    assert (told["name"], told["recorded"]["count"] > 5_000) == ("hlt", True)
    done = kvmlog("explain", "wbinvd", "--from", file)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"kvmlog: {file}: no exit of WBINVD, wbinvd in it\n"


@pytest.mark.parametrize("real", [REAL, INTEL], ids=["amd", "intel"])
def test_of_real_guests(real: Path) -> None:
    """Two that boot under QEMU: the figures that tests/data/recordings/README.md names."""
    with Recording(real) as recording:
        assert recording.damaged == []
        assert recording.end is not None
        assert recording.end.records == recording.records
        assert real.stat().st_size / recording.records < 20
        exits = recording.statistics().exits
    told = json.loads(lines("stat", "--from", str(real), "--json")[0])
    assert (told["exits"], told["lost_records"]) == (exits, 0)
    assert sum(row["count"] for row in told["rows"]) == exits
    assert {one["name"] for one in told["guests"]} == {"web1", "db1"}
    guests = [json.loads(line) for line in lines("guests", "--all", "--json", "--from", str(real))]
    assert sum(one["exits"] for one in guests) == exits
    assert len({one["uuid"] for one in guests}) == 2


def test_devices_of_an_intel_host_are_named() -> None:
    """Each access has its address, not only the first to a page."""
    told = json.loads(lines("stat", "--by", "reason,detail", "--json", "--from", str(INTEL))[0])
    rows = [row for row in told["rows"] if row["reason_name"] == "EPT_MISCONFIG"]
    assert {row["detail_words"]: row["count"] for row in rows} == {
        "gpa 0xfec00000-0xfec00fff (ioapic)": 1_328,
        "gpa 0xfed00000-0xfed003ff (hpet)": 206,
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_wrong_with_a_file_is_a_sentence(command: str, tmp_path: Path) -> None:
    """One line, which names it; status 1."""
    good = recordings.synthetic(tmp_path / "good", 500).read_bytes()
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "foreign").write_bytes(b"PERFILE2" * 99)
    (tmp_path / "newer").write_bytes(good[:8] + b"\2" + good[9:])
    (tmp_path / "cut").write_bytes(good[:40])
    for name, words in (
        ("missing", "there is no such recording"),
        ("empty", "is empty, no recording"),
        ("foreign", "no recording (it begins b'PERFILE2'"),
        ("newer", "format 2, this kvmlog knows 1; read it with the version"),
        ("cut", "cut short before its first block"),
    ):
        done = kvmlog(command, "--from", str(tmp_path / name))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"kvmlog: {tmp_path / name}: {words}"), done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_missing_in_a_file_is_told(command: str, tmp_path: Path) -> None:
    """Without records, or with a damaged block, there is still an answer."""
    empty = recordings.write(tmp_path / "none", b"", guests=[])
    done = kvmlog(command, "--from", str(empty))
    assert done.returncode == 0
    assert f"{empty}: the recording is empty: no exit came" in done.stderr
    cut = recordings.write(tmp_path / "cut", recordings.exits(400), ended=False)
    done = kvmlog(command, "--from", str(cut))
    assert done.returncode == 0
    assert "the recording was cut short" in done.stderr
    assert "its 402 whole records follow" in done.stderr
    raw = bytearray(recordings.synthetic(tmp_path / "damaged", 400).read_bytes())
    raw[len(raw) // 2] ^= 16
    (tmp_path / "damaged").write_bytes(raw)
    done = kvmlog(command, "--from", str(tmp_path / "damaged"))
    assert done.returncode == 0
    assert "402 records" in done.stderr
    assert "are left out" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("stat", "-i", "1"), "give no -i, --reset or command with it"),
        (("stat", "--reset"), "give no -i, --reset or command with it"),
        (("dump", "--ring", "x"), "not allowed with argument"),
        (("stat", "--vm", "nobody"), ""),
    ],
)
def test_options_that_do_not_go_with_it(arguments: tuple[str, ...], words: str) -> None:
    """Usage errors, and a guest that there is not."""
    done = kvmlog(*arguments, "--from", str(REAL))
    assert done.returncode == (2 if words else 1)
    assert words in done.stderr
    if not words:
        assert "nobody" in done.stderr
