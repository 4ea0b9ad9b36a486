# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat` as a real process: statuses, signals, pipes, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.statistics.reader import SUFFIX
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from tests.support.bridge_process import HANG_S, KVMLOG, kvmlog, running_bridge, without_module
from tests.support.statistics_feed import Counting, exits

NO_BRIDGE = "kvmlog: no bridge writes these statistics now; start it (kvmlog bridge)\n"
OFF = "kvmlog: tracing is off, nothing is being counted; switch it on (kvmlog switch on)\n"


@pytest.fixture
def ring(tmp_path: Path) -> str:
    """A ring and its statistics, without an exit, as a bridge that has ended left them."""
    path = str(tmp_path / "ring")
    with RingWriter(path, 1_024) as writer:
        StatisticsWriter(path + SUFFIX, writer, 1).close()
    return path


def stat(ring: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run, to its end."""
    return kvmlog("stat", "--ring", ring, *arguments)


@contextlib.contextmanager
def started(ring: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running one, in a process group of its own, as a terminal's foreground; killed at last."""
    process = subprocess.Popen(
        [*KVMLOG, "stat", "--ring", ring, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def line(process: subprocess.Popen[str]) -> str:
    """The next line of its output."""
    assert process.stdout is not None
    return process.stdout.readline()


def test_since_the_statistics_began(ring: str) -> None:
    """A heading; who writes nothing any more is told on stderr."""
    done = stat(ring)
    assert (done.returncode, done.stderr) == (0, NO_BRIDGE)
    assert done.stdout.endswith(": 0 exits\n")


def test_json_and_csv(ring: str) -> None:
    """One object; a header."""
    told = json.loads(stat(ring, "--json").stdout)
    assert (told["rows"], told["exits"], told["lost_records"]) == ([], 0, 0)
    (header,) = csv.reader(stat(ring, "--csv", "--by", "return").stdout.splitlines())
    assert header[-4:] == ["paused_ns", "share", "since", "until"]


def test_a_table_per_interval(ring: str) -> None:
    """So many, each with a line between; of JSON one line each."""
    done = stat(ring, "-i", "0.1", "-n", "3")
    assert done.returncode == 0
    assert [one.endswith(": 0 exits") for one in done.stdout.splitlines()] == [True, False] * 3
    lines = stat(ring, "-i", "0.1", "-n", "2", "--json").stdout.splitlines()
    first, second = map(json.loads, lines)
    assert first["until_realtime_ns"] == second["since_realtime_ns"]


def test_intervals_end_with_ctrl_c(ring: str) -> None:
    """Ctrl-C is the regular end: status 0 and no message."""
    with started(ring, "-i", "0.1") as process:
        line(process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=HANG_S)
    assert (process.returncode, errors) == (0, NO_BRIDGE)


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15)]
)
def test_the_commands_exit_status(ring: str, script: str, status: int) -> None:
    """Passed on; 128 + n for signal n. Its stdout is its own, ours goes to stderr."""
    done = stat(ring, "--", "sh", "-c", f"echo own; {script}")
    assert (done.returncode, done.stdout) == (status, "own\n")
    assert done.stderr.startswith(NO_BRIDGE)
    assert done.stderr.endswith(": 0 exits\n")


def test_the_commands_own_streams(ring: str, tmp_path: Path) -> None:
    """stdin reaches it, its stderr is untouched, -o takes ours away."""
    output = tmp_path / "told"
    done = subprocess.run(
        [*KVMLOG, "stat", "--ring", ring, "--json", "-o", str(output), "sh", "-c", "cat >&2"],
        input="typed",
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{NO_BRIDGE}typed")
    assert json.loads(output.read_text())["rows"] == []


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("/no/such/command", 127, "give its path, or look at PATH"),
        ("/etc/passwd", 126, "give a program that can be run"),
        ("/", 126, "give a program that can be run"),
    ],
)
def test_a_command_that_cannot_be_run(ring: str, command: str, status: int, words: str) -> None:
    """The exit status is a shell's, and a sentence stands in place of a table."""
    done = stat(ring, "--", command)
    assert (done.returncode, done.stdout) == (status, "")
    (_, sentence) = done.stderr.splitlines()
    assert sentence.startswith(f"kvmlog: {command}: cannot be run (")
    assert sentence.endswith(words)


def test_ctrl_c_ends_the_command_and_the_table_still_comes(ring: str) -> None:
    """The terminal sends it to both."""
    with started(ring, "--", "sh", "-c", "echo runs; exec sleep 1000") as process:
        assert line(process) == "runs\n"
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 128 + signal.SIGINT
    assert errors.endswith(": 0 exits\n")


def test_a_command_may_outlive_ctrl_c(ring: str) -> None:
    """It is the command that decides; its status is passed on."""
    script = "trap 'echo no; exit 5' INT; echo runs; while :; do sleep 0.1; done"
    with started(ring, "--", "sh", "-c", script) as process:
        assert line(process) == "runs\n"
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=HANG_S)
    assert (process.returncode, output) == (5, "no\n")
    assert errors.endswith(": 0 exits\n")


def test_sigterm_is_passed_on(ring: str) -> None:
    """It comes to us alone."""
    with started(ring, "--", "sh", "-c", "echo runs; exec sleep 1000") as process:
        assert line(process) == "runs\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors.endswith(": 0 exits\n")


def test_intervals_around_a_command(ring: str, tmp_path: Path) -> None:
    """Tables while it runs, and one of the rest, without a gap."""
    output = tmp_path / "told"
    script = f"until [ $(wc -l <{output}) -ge 3 ]; do sleep 0.05; done"
    done = stat(ring, "-i", "0.1", "--json", "-o", str(output), "--", "sh", "-c", script)
    told = [json.loads(one) for one in output.read_text().splitlines()]
    assert (done.returncode, len(told) >= 4) == (0, True)
    for one, following in itertools.pairwise(told):
        assert one["until_realtime_ns"] == following["since_realtime_ns"]


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_closed_pipe_ends_it(ring: str, form: tuple[str, ...]) -> None:
    """`kvmlog stat -i 1 | head -1`: status 141, no traceback."""
    with started(ring, "-i", "0.1", *form) as process:
        assert line(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(HANG_S) == 141
        assert process.stderr.read() == NO_BRIDGE


@pytest.mark.parametrize("arguments", [("--help",), ("stat", "--help"), ("guests",), ("status",)])
def test_no_reader_at_all(arguments: tuple[str, ...]) -> None:
    """A pipe whose reader has gone before the first word, on stdout and stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*KVMLOG, *arguments], stdout=writer, stderr=writer, timeout=HANG_S, check=False
        )
    finally:
        os.close(writer)
    assert done.returncode == 141


def test_on_a_terminal_tables_are_redrawn(ring: str) -> None:
    """Tables do not scroll: the cursor goes up; colours are left to NO_COLOR."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [*KVMLOG, "stat", "--ring", ring, "-i", "0.1", "-n", "3"],
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=HANG_S,
            check=False,
        )
        os.close(theirs)
        shown = terminal.read(65_536)
    assert done.returncode == 0
    assert shown.count(b": 0 exits") >= 3
    assert b"\x1b[1A" in shown


def test_a_pipe_has_the_same_columns_everywhere(tmp_path: Path) -> None:
    """Whatever COLUMNS says, and however many there are on a terminal."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(3, reason=0x78, total_ns=[5, 6, 7]))
        counting.writer.flush()
    headers = {"80": "", "300": ""}
    for width in headers:
        done = subprocess.run(
            [*KVMLOG, "stat", "--ring", str(tmp_path / "ring"), "--halts"],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": width},
            timeout=HANG_S,
            check=True,
        )
        headers[width] = done.stdout.splitlines()[1]
    assert [one.split() for one in headers.values()] == [
        ["GUEST", "REASON", "COUNT", "TOTAL", "SHARE", "MEAN", "MAX", "NOTE"]
    ] * 2
    chosen = stat(str(tmp_path / "ring"), "--columns", "min,max", "--halts")
    assert chosen.stdout.splitlines()[1].split() == ["GUEST", "REASON", "MIN", "MAX", "NOTE"]
    assert chosen.stdout.splitlines()[2].split()[-3:] == ["5ns", "7ns", "halt"]


def test_addresses_come_by_device(tmp_path: Path) -> None:
    """One row per function of PCI, per interrupt controller; --exact: one per address of that."""
    with Counting(tmp_path) as counting:
        flags = lib.KVMLOG_F_DETAIL_VALID | lib.KVMLOG_F_USER_REASON
        addresses = [0xB00FA000, 0xB00FA004, 0xB00FA040, 0xFEE000B0, 0xFEE00300]
        counting.feed(exits(5, reason=0x400, detail=addresses, flags=flags, user_reason=6))
        counting.writer.flush()
    ring = str(tmp_path / "ring")
    by = ("--by", "reason,detail", "--columns", "count", "--sort", "count")
    assert [" ".join(one.split()) for one in stat(ring, *by).stdout.splitlines()[2:]] == [
        "npf gpa 0xb00fa000-0xb00fafff (ecam 00:1f.2) 3",
        "npf gpa 0xfee00000-0xfee00fff (lapic) 2",
    ]
    exact = stat(ring, *by, "--exact").stdout.splitlines()[2:]
    assert sorted(" ".join(one.split()) for one in exact) == [
        "npf gpa 0xb00fa000-0xb00fafff (ecam 00:1f.2) 3",
        "npf gpa 0xfee000b0 (lapic eoi) 1",
        "npf gpa 0xfee00300 (lapic icr) 1",
    ]
    (device, _) = json.loads(stat(ring, *by[:2], "--sort", "count", "--json").stdout)["rows"]
    assert (device["detail"], device["detail_kind"]) == (0xB00FA000, "device")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--by", "reasn"), "'reasn' is not a grouping"),
        (("--sort", "speed"), "invalid choice: 'speed'"),
        (("-i", "-1"), "'-1' is not an interval; give 0.1 to 86,400 seconds"),
    ],
)
def test_nonsense_is_refused(ring: str, arguments: tuple[str, ...], words: str) -> None:
    """Status 2; the command is not run."""
    done = stat(ring, *arguments, "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_no_statistics_no_run(tmp_path: Path) -> None:
    """Status 1 and what to do; the command is not run either."""
    done = stat(str(tmp_path / "ring"), "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"kvmlog: {tmp_path}/ring.statistics: ")
    assert "start the bridge" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_none_of_ours(ring: str) -> None:
    """A sentence, status 1."""
    Path(ring + SUFFIX).write_bytes(b"x" * 8_192)
    done = stat(ring)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_an_unknown_guest(ring: str) -> None:
    """Status 1, and it is said before anything is shown."""
    done = stat(ring, "--vm", "wbe1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "wbe1" in done.stderr.splitlines()[1]


def test_an_output_file_that_cannot_be(ring: str) -> None:
    """Status 1 before the command is run."""
    done = stat(ring, "-o", "/no/such/folder/file", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("give another file (-o)\n")


def test_reset_without_a_bridge(ring: str, tmp_path: Path) -> None:
    """Only a bridge can do it."""
    done = stat(ring, "--reset", "--switch", str(tmp_path / "switch"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no bridge is running; start it (kvmlog bridge)" in done.stderr


@without_module
def test_with_a_running_bridge(tmp_path: Path) -> None:
    """Tracing is off, which is told; a reset begins anew; guests are looked for."""
    with running_bridge(tmp_path) as bridge:
        ring = str(bridge.ring)
        done = stat(ring, "--json")
        assert (done.returncode, done.stderr) == (0, OFF)
        before = json.loads(done.stdout)
        reset = stat(ring, "--reset", "--switch", str(bridge.switch))
        assert (reset.returncode, reset.stdout, reset.stderr) == (0, "ok reset\n", "")
        after = json.loads(stat(ring, "--json").stdout)
        assert after["since_realtime_ns"] > before["since_realtime_ns"]
        done = stat(ring, "--", "true")
        assert (done.returncode, done.stderr.splitlines(keepends=True)[0]) == (0, OFF)
        assert len(done.stderr.splitlines()) == 2
        guests = kvmlog("guests", "--ring", ring, "--switch", str(bridge.switch))
        assert (guests.returncode, guests.stderr) == (0, "")
        assert bridge.stop()[0] == 0
