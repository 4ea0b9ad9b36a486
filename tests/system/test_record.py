# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog record` as a real process, beside a real ring, its writer and its switch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.bridge.unix_server import UnixServer
from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import Sampling
from kvmlog.engine.engine import Engine
from kvmlog.native import ffi, lib
from kvmlog.recording.reader import Recording
from kvmlog.ring.records import RECORD_BYTES, Record, iter_records
from kvmlog.ring.writer import RingWriter
from tests.support import recordings
from tests.support.bridge_process import HANG_S, KVMLOG, until
from tests.support.guests_file import write_guests
from tests.support.scripted_source import ScriptedSource
from tests.support.served_switch import served
from tests.support.statistics_feed import Records

SLOTS = 65_536
HLT, NPF, SHUTDOWN = 0x78, 0x400, 0x7F


class Host:
    """A bridge whose source the test plays: ring, switch, guests web1 (1) and db1 (2)."""

    def __init__(self, folder: Path, slots: int = SLOTS) -> None:
        self.folder = folder
        self.ring, self.switch = folder / "ring", folder / "switch"
        self.guests = [recordings.guest(1, "web1"), recordings.guest(2, "db1")]
        write_guests(self.ring, self.guests)
        self.writer = RingWriter(str(self.ring), slots)
        self.source = ScriptedSource()
        self.engine = Engine(self.writer, self.source)
        self.client = SwitchClient(str(self.switch))

    def write(self, records: Records) -> None:
        """Have the ring get records."""
        raw = records.tobytes()
        lib.kvmlog_writer_append(self.writer.native, ffi.from_buffer(raw), len(records))

    @property
    def places(self) -> list[str]:
        """The options that lead to it."""
        return ["--ring", str(self.ring), "--switch", str(self.switch)]

    @contextlib.contextmanager
    def record(self, *options: str | Path, stderr: int = subprocess.PIPE) -> Iterator[Recorder]:
        """A `kvmlog record` that has begun; killed in the end if it still runs."""
        command = [*KVMLOG, "record", *self.places, *map(str, options)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=stderr == subprocess.PIPE
        ) as process:
            try:
                yield Recorder(process)
            finally:
                process.kill()


class Recorder:
    """A running `kvmlog record`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def begun(self, file: Path, bytes_least: int = 200) -> None:
        """Wait until it records."""
        until(lambda: file.exists() and file.stat().st_size >= bytes_least)

    def waits(self) -> None:
        """Wait until it waits for its event."""
        assert self.process.stderr is not None
        assert self.process.stderr.readline().startswith("kvmlog: waiting for ")

    def ended(self) -> tuple[int, str]:
        """Wait for its end; its status and what it said."""
        _, said = self.process.communicate(timeout=HANG_S)
        return self.process.returncode, said

    def interrupt(self) -> tuple[int, str]:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host that is off."""
    with running(tmp_path) as one:
        yield one


@contextlib.contextmanager
def running(folder: Path, slots: int = SLOTS) -> Iterator[Host]:
    """A host with so many slots."""
    one = Host(folder, slots)
    one.engine.start()
    try:
        with served(UnixServer(str(one.switch), Dispatcher(one.engine, dict))):
            yield one
    finally:
        one.engine.stop()
        one.writer.close()


def exits_of(file: Path) -> list[Record]:
    """The exits in a recording."""
    with Recording(file) as recording:
        return [
            record
            for block in recording.blocks()
            for record in iter_records(block)
            if isinstance(record, Record)
        ]


def now_exits(count: int, **fields: object) -> Records:
    """Exits that end about now, guests 1 and 2 in turn."""
    records = recordings.exits(count, started_ns=time.monotonic_ns() - 10**9)
    for name, value in {"source": lib.KVMLOG_SOURCE_FOREIGN, **fields}.items():
        records[name] = value
    return records


def test_what_comes_is_recorded_and_tracing_is_as_it_was(host: Host) -> None:
    """On with a lease for as long as it records, off at its end; all records, and who they were."""
    file = host.folder / "x.kvmlog"
    records = now_exits(30_000)
    host.write(now_exits(10))  # before it begins
    with host.record("-o", file) as recorder:
        recorder.begun(file)
        until(lambda: host.engine.on)
        assert 0 < host.client.status()["lease_s"] <= 60
        host.write(records)
        status, said = recorder.interrupt()
    assert status == 0
    assert not host.engine.on
    assert re.fullmatch(
        r"kvmlog: recorded 30,000 records in 0:0\d, 0 records lost: .*x\.kvmlog, "
        r"\d+ KiB \(\d+\.\d bytes each\)\n",
        said,
    )
    with Recording(file) as recording:
        assert b"".join(recording.blocks()) == records.tobytes()
        assert list(recording.guests.guests) == host.guests
        assert recording.end is not None
        assert recording.header.host == os.uname().nodename
        assert recording.clocks().pairs[-1].from_ns <= time.monotonic_ns()
    assert file.stat().st_mode & 0o777 == 0o600


def test_tracing_that_is_on_is_left_on(host: Host) -> None:
    """What others have chosen is told, and not changed."""
    host.client.switch(True, for_s=500, sampling=Sampling(one_in=2))
    file = host.folder / "x.kvmlog"
    with host.record("-o", file, "--for", "1") as recorder:
        status, said = recorder.ended()
    assert status == 0
    assert "not all exits come: one exit in 2 on average is recorded" in said
    assert "somebody else, for 499 s more" in said or "for 500 s more" in said
    state = host.client.status()
    assert (state["wanted"], state["sampling"]["one_in"]) == ("on", 2)


def test_filters_apply_while_it_records(host: Host) -> None:
    """By guest, reason and duration; the header says which."""
    host.client.switch(True)
    file = host.folder / "x.kvmlog"
    records = now_exits(20_000)
    options = ("--vm", "web1", "--reason", "npf", "--slower-than", "10us")
    with host.record("-o", file, *options) as recorder:
        recorder.begun(file)
        host.write(records)
        assert recorder.interrupt()[0] == 0
    chosen = (records["guest"] == 1) & (records["reason"] == NPF) & (records["total_ns"] >= 10_000)
    assert 0 < chosen.sum() < 2_000
    assert [one.exit_ns for one in exits_of(file)] == records["exit_ns"][chosen].tolist()
    with Recording(file) as recording:
        assert recording.header.selection == "--vm web1 --reason npf --slower-than 10000ns"
        assert [guest.name for guest in recording.guests.guests] == ["web1"]


def test_while_a_command_runs(host: Host) -> None:
    """Its output is its own, and so is the exit status; a signal's is 128 more."""
    for number, (script, expected) in enumerate(
        (("echo done; exit 7", 7), ("echo done; kill -TERM $$", 128 + signal.SIGTERM))
    ):
        file = host.folder / f"{number}.kvmlog"
        with host.record("-o", file, "--", "sh", "-c", script) as recorder:
            assert recorder.process.stdout is not None
            status, said = recorder.process.wait(HANG_S), ""
            assert recorder.process.stdout.read() == "done\n"
            assert recorder.process.stderr is not None
            said = recorder.process.stderr.read()
        assert status == expected
        assert "recorded 0 records" in said
        with Recording(file) as recording:
            assert recording.header.command == f"sh -c '{script}'"
        assert not host.engine.on


def test_a_command_that_cannot_be_run(host: Host) -> None:
    """As a shell has it; no recording is left, and tracing is off."""
    file = host.folder / "x.kvmlog"
    with host.record("-o", file, "--", "/no/such/program") as recorder:
        status, said = recorder.ended()
    assert status == 127
    assert "/no/such/program: cannot be run" in said
    assert not file.exists()
    assert not host.engine.on


def test_killed_it_leaves_what_was_written(host: Host) -> None:
    """Up to the last whole block; readers say that it was cut, and show the rest."""
    host.client.switch(True)
    file = host.folder / "x.kvmlog"
    records = now_exits(40_000)
    with host.record("-o", file) as recorder:
        recorder.begun(file)
        host.write(records)
        until(lambda: file.exists() and whole_records(file) >= 40_000)
        host.write(now_exits(100))
        recorder.process.send_signal(signal.SIGKILL)
        assert recorder.process.wait(HANG_S) == -signal.SIGKILL
    with Recording(file) as recording:
        assert recording.end is None
        assert not recording.is_being_written()
        assert b"".join(recording.blocks()).startswith(records.tobytes())
    done = kvmlog_from("stat", file)
    assert done.returncode == 0
    assert "the recording was cut short" in done.stderr
    assert "40,000 exits" in done.stdout


def whole_records(file: Path) -> int:
    """How many records can be read now."""
    with Recording(file) as recording:
        return recording.records


def kvmlog_from(command: str, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A command on a recording."""
    return subprocess.run(
        [*KVMLOG, command, "--from", str(file), *options],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def test_a_full_disk_ends_it_with_a_sentence(host: Host) -> None:
    """What is whole can be read; tracing is as it was, and the exit status is 1."""
    disk, kept = host.folder / "disk", host.folder / "kept.kvmlog"
    disk.mkdir()
    file = disk / "x.kvmlog"
    command = [*KVMLOG, "record", *host.places, "-o", str(file)]
    script = (
        'mount -t tmpfs -o size=400k none "$1" || exit 99; kept=$2; file=$3; shift 3; '
        '"$@"; status=$?; cp "$file" "$kept"; exit $status'
    )
    with subprocess.Popen(
        [
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"),
            *(str(disk), str(kept), str(file), *command),
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: host.engine.on)
        for _ in range(4):
            host.write(now_exits(16_384))
            time.sleep(0.2)
        _, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 1, said
    assert "no space is left, the recording ends here" in said
    assert "--size" in said
    assert not host.engine.on
    with Recording(kept) as recording:
        assert recording.end is None
        assert recording.damaged == []
        read = sum(len(block) for block in recording.blocks()) // RECORD_BYTES
        assert read == recording.records >= 16_384
        assert f"its first {read:,} records can be read" in said


def test_no_larger_than_it_may_be(host: Host) -> None:
    """It ends in order, and says why."""
    host.client.switch(True)
    file = host.folder / "x.kvmlog"
    with host.record("-o", file, "--size", "300K") as recorder:
        recorder.begun(file)
        host.write(now_exits(60_000))
        status, said = recorder.ended()
    assert status == 0
    assert "as large as it may be (--size)" in said
    assert file.stat().st_size <= 300 << 10
    with Recording(file) as recording:
        assert recording.end is not None
        assert recording.end.reason == "the file is as large as it may be (--size)"
        assert recording.records > 16_000


def test_records_that_are_overwritten_before_they_are_read_are_a_loss(tmp_path: Path) -> None:
    """They are counted and told, at once and in the end, and stat shows them."""
    with running(tmp_path, 1_024) as host:
        host.client.switch(True)
        file = tmp_path / "x.kvmlog"
        with host.record("-o", file) as recorder:
            recorder.begun(file)
            recorder.process.send_signal(signal.SIGSTOP)
            for _ in range(5):
                host.write(now_exits(1_000))
            recorder.process.send_signal(signal.SIGCONT)
            until(lambda: whole_records(file) > 0)
            status, said = recorder.interrupt()
    assert status == 0
    with Recording(file) as recording:
        assert recording.end is not None
        lost = recording.end.overwritten
        assert lost == recording.lost_records == 5_000 - recording.records
        assert lost >= 5_000 - 1_024
    assert f"{lost:,} records lost, {lost:,} of them overwritten before they were read" in said
    assert f"{lost:,} records were overwritten before they were read; a larger ring" in said
    assert f"missing: {lost:,} records lost\n" in kvmlog_from("stat", file).stdout


def test_losses_of_the_source_are_told(host: Host) -> None:
    """As the ring's header has them, from when it began."""
    lib.kvmlog_writer_loss(host.writer.native, lib.KVMLOG_LOSS_BUFFER_FULL, 50, 50, 0)
    host.client.switch(True)
    file = host.folder / "x.kvmlog"
    with host.record("-o", file) as recorder:
        recorder.begun(file)
        lib.kvmlog_writer_loss(host.writer.native, lib.KVMLOG_LOSS_BUFFER_FULL, 7, 57, 0)
        status, said = recorder.interrupt()
    assert (status, "7 records lost" in said) == (0, True)
    with Recording(file) as recording:
        assert recording.end is not None
        assert (recording.end.lost_records, recording.end.overwritten) == (7, 0)


def test_a_ring_that_is_replaced_is_followed(host: Host) -> None:
    """It goes on with the new one, and says so."""
    host.client.switch(True)
    file = host.folder / "x.kvmlog"
    first, second = now_exits(100), now_exits(200)
    with host.record("-o", file) as recorder:
        recorder.begun(file)
        host.write(first)
        until(lambda: whole_records(file) == 100)
        with RingWriter(str(host.folder / "fresh"), 1_024) as fresh:
            os.rename(host.folder / "fresh", host.ring)
            raw = second.tobytes()
            lib.kvmlog_writer_append(fresh.native, ffi.from_buffer(raw), len(second))
            until(lambda: whole_records(file) == 300)
            status, said = recorder.interrupt()
    assert status == 0
    assert "the ring was replaced; what the old one got last is not recorded" in said
    assert [one.exit_ns for one in exits_of(file)] == [
        *first["exit_ns"].tolist(),
        *second["exit_ns"].tolist(),
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("mine"), "is there already; give another name, or --force"),
        (lambda path: path.mkdir(), "is a directory"),
        (os.mkfifo, "is a FIFO"),
        (lambda path: path.symlink_to("elsewhere"), "is a symbolic link"),
    ],
)
def test_an_output_that_cannot_be_is_a_sentence(
    host: Host, make: Callable[[Path], object], words: str
) -> None:
    """Nothing is switched on for it."""
    file = host.folder / "x.kvmlog"
    make(file)
    with host.record("-o", file) as recorder:
        status, said = recorder.ended()
    assert status == 1
    assert said.startswith(f"kvmlog: {file}: {words}")
    assert host.source.configured == []


def test_force_replaces_a_file_and_nothing_else(host: Host) -> None:
    """Who reads the old one keeps it; a folder stays."""
    file, folder = host.folder / "x.kvmlog", host.folder / "folder"
    file.write_text("old")
    folder.mkdir()
    with file.open() as reader:
        with host.record("-o", file, "--force", "--for", "0.2") as recorder:
            assert recorder.ended()[0] == 0
        assert reader.read() == "old"
    assert exits_of(file) == []
    with host.record("-o", folder, "--force") as recorder:
        assert recorder.ended()[0] == 1
    assert folder.is_dir()


def test_without_a_ring_or_a_bridge(tmp_path: Path) -> None:
    """A sentence, and no file is left."""
    file = tmp_path / "x.kvmlog"
    places = ["--ring", str(tmp_path / "ring"), "--switch", str(tmp_path / "switch")]
    command = [*KVMLOG, "record", "-o", str(file), *places]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 1
    assert "there is no ring; start the bridge" in done.stderr
    RingWriter(str(tmp_path / "ring"), 1_024).close()
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 1
    assert "no bridge is running; start it" in done.stderr
    assert not file.exists()


def test_an_event_freezes_what_surrounds_it(host: Host) -> None:
    """Halts are no slow exits; the file has the time before, the event, and the time after."""
    host.client.switch(True)
    file = host.folder / "x.kvmlog"
    now = time.monotonic_ns()
    before = recordings.exits(3_000, started_ns=now - 3 * 10**9, per_s=1_000)
    old = recordings.exits(100, started_ns=now - 100 * 10**9)
    host.write(old)
    host.write(before)
    options = ("--freeze-on", "slower-than 20ms", "--before", "60s", "--after", "1s")
    with host.record("-o", file, *options) as recorder:
        recorder.waits()
        halt = now_exits(1, reason=HLT, total_ns=10**9, halt_ns=10**9 - 100, user_ns=0)
        host.write(halt)
        time.sleep(0.5)
        assert file.stat().st_size == 0
        event = now_exits(
            1, guest=1, vcpu=0, reason=NPF, total_ns=25_000_000, halt_ns=0, user_ns=0, detail=0
        )
        event["exit_ns"] = time.monotonic_ns() - 25_000_000
        host.write(event)
        until(lambda: file.stat().st_size > 0)
        after = now_exits(10)
        host.write(after)
        status, said = recorder.ended()
    assert status == 0
    assert "slower-than 20ms: web1, vCPU 0, npf" in said
    assert "25.0ms" in said
    since = int(event["exit_ns"][0]) - 60 * 10**9
    kept = [one.exit_ns for one in exits_of(file)]
    expected = [
        *before["exit_ns"][before["exit_ns"] >= since].tolist(),
        *[one for one in halt["exit_ns"].tolist() if one >= since],
        *event["exit_ns"].tolist(),
        *after["exit_ns"].tolist(),
    ]
    assert kept == expected
    with Recording(file) as recording:
        assert recording.header.event.startswith("slower-than 20ms: web1")
        assert recording.header.started_monotonic_ns == since


def test_an_event_of_a_reason_and_of_one_guest(host: Host) -> None:
    """Others' are none; without an event no file is left, and the status is 1."""
    host.client.switch(True)
    file = host.folder / "x.kvmlog"
    options = ("--freeze-on", "triple-fault", "--vm", "db1", "--after", "0.1s")
    with host.record("-o", file, *options) as recorder:
        recorder.waits()
        host.write(now_exits(1, guest=1, reason=SHUTDOWN))
        time.sleep(0.5)
        host.write(now_exits(1, guest=2, vcpu=0, reason=SHUTDOWN))
        status, said = recorder.ended()
    assert status == 0
    assert "triple-fault: db1, vCPU 0, shutdown" in said
    assert [one.guest for one in exits_of(file)] == [2]
    with host.record(
        "-o", file, "--force", "--freeze-on", "internal-error", "--for", "0.3"
    ) as recorder:
        status, said = recorder.ended()
    assert (status, "no event came (internal-error)" in said) == (1, True)
    assert not file.exists()


def test_a_ring_that_is_too_small_for_the_time_before_is_told(tmp_path: Path) -> None:
    """With what to do about it."""
    with running(tmp_path, 1_024) as host:
        host.client.switch(True)
        file = tmp_path / "x.kvmlog"
        host.write(recordings.exits(5_000, started_ns=time.monotonic_ns() - 10**10, per_s=1_000))
        options = ("--freeze-on", "shutdown", "--before", "9s", "--after", "0.1s")
        with host.record("-o", file, *options) as recorder:
            recorder.waits()
            host.write(now_exits(1, reason=SHUTDOWN))
            status, said = recorder.ended()
    assert status == 0
    assert re.search(r"the ring has only [\d.]+m?s of the time before; a larger one", said)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--freeze-on", "slower-than soon"), "is not a time to wait for"),
        (("--freeze-on", "nonsense"), "is nothing to wait for: give slower-than TIME"),
        (("--before", "1s"), "give --freeze-on EVENT too"),
        (("--size", "12"), "is not a size; give at least 64K"),
        (("--for", "0"), "is not a time"),
        (("--reason", "nonsense"), "is not an exit reason"),
    ],
)
def test_wrong_options(host: Host, options: tuple[str, ...], words: str) -> None:
    """Status 2, and no file."""
    with host.record("-o", host.folder / "x", *options) as recorder:
        status, said = recorder.ended()
    assert (status, words in said) == (2, True), said
    assert not (host.folder / "x").exists()


def test_a_terminal_shows_progress_on_one_line(host: Host) -> None:
    """Time, records, rate, losses and bytes; it is gone when the sum is printed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    host.client.switch(True)
    file = host.folder / "x.kvmlog"
    seen = b""
    with host.record("-o", file, stderr=theirs) as recorder:
        os.close(theirs)
        recorder.begun(file)
        host.write(now_exits(20_000))
        while b"20,000 records" not in seen:
            assert select.select([ours], [], [], HANG_S)[0]
            seen += os.read(ours, 65_536)
        recorder.process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65_536):
                seen += part
        assert recorder.process.wait(HANG_S) == 0
    os.close(ours)
    lines = seen.decode().replace("\r\n", "\n").split("\r\x1b[K")
    shown = next(line for line in lines if "20,000 records" in line)
    assert re.fullmatch(r"0:0\d  20,000 records  [\d.]+K?/s  0 lost  [\d.]+ (bytes|KiB)", shown)
    assert lines[-1].startswith("kvmlog: recorded 20,000 records")
