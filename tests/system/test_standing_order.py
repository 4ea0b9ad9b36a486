# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's flight recorder: what it keeps, of how much, under which name and mode."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.bridge.recorder import StandingOrder
from kvmlog.config.schema.tracing import RecorderKeys
from kvmlog.native import ffi, lib
from kvmlog.recording.reader import Recording
from kvmlog.ring.records import RECORD_BYTES
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import KvmlogError
from tests.support import recordings
from tests.support.bridge_process import kvmlog, running_bridge, until
from tests.support.guests_file import write_guests
from tests.support.statistics_feed import Records

SLOW_NS = 60_000_000


class Ordered:
    """A ring, and a bridge's standing order about it."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        self.ring, self.folder = folder / "ring", folder / "kept"
        write_guests(self.ring, [recordings.guest(1, "web1"), recordings.guest(2, "db1")])
        self.writer = RingWriter(str(self.ring), 65_536)
        values = {"freeze_on": ("slower-than 50ms",), "after_s": 0.2, "pause_s": 1.0, **keys}
        self.order = StandingOrder(str(self.ring), RecorderKeys(folder=str(self.folder), **values))

    def write(self, records: Records) -> None:
        """Have the ring get records."""
        raw = records.tobytes()
        lib.kvmlog_writer_append(self.writer.native, ffi.from_buffer(raw), len(records))

    def slow(self) -> Records:
        """An exit that is an event, which ends now."""
        record = recordings.exits(1)
        record["guest"], record["vcpu"], record["total_ns"] = 2, 0, SLOW_NS
        record["halt_ns"] = record["user_ns"] = 0
        record["exit_ns"] = time.monotonic_ns() - SLOW_NS
        return record

    def kept(self, count: int) -> None:
        """Wait until it has kept so many."""
        until(lambda: self.order.describe()["kept"] >= count)

    def slow_until_kept(self, count: int) -> None:
        """Have events come until so many were kept: what comes in its pause is none."""

        def kept() -> bool:
            self.write(self.slow())
            return bool(self.order.describe()["kept"] >= count)

        until(kept)

    def files(self) -> list[Path]:
        """The recordings in its folder, oldest first."""
        return sorted(self.folder.glob("kvmlog-*"))


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Any]:
    """Makes an Ordered that has begun; all are ended."""
    made: list[Ordered] = []

    def make(**keys: Any) -> Ordered:
        one = Ordered(tmp_path, **keys)
        made.append(one)
        one.order.start()
        return one

    yield make
    for one in made:
        one.order.close()
        one.writer.close()


def quick(count: int) -> Records:
    """Exits that are no event, of about now."""
    records = recordings.exits(count, started_ns=time.monotonic_ns() - 10**9)
    records["total_ns"] = records["total_ns"].clip(max=10**6)
    records["halt_ns"] = 0
    return records


def test_an_event_is_kept_with_what_surrounds_it(made: Any) -> None:
    """The file says what it was; readers of the ring may read it, nobody else."""
    ordered = made()
    before = quick(500)
    ordered.write(before)
    event = ordered.slow()
    ordered.write(event)
    ordered.kept(1)
    (file,) = ordered.files()
    assert re.fullmatch(r"kvmlog-\d{8}T\d{6}\.\d{3}\.kvmlog", file.name)
    assert file.stat().st_mode & 0o777 == 0o640
    assert ordered.folder.stat().st_mode & 0o777 == 0o750
    with Recording(file) as recording:
        raw = b"".join(recording.blocks())
        assert raw[: 501 * RECORD_BYTES] == before.tobytes() + event.tobytes()
        assert recording.header.event.startswith("slower-than 50ms: db1, vCPU 0, ")
        assert recording.end is not None
        assert recording.end.reason == "the time after the event is over"
        assert {guest.name for guest in recording.guests.guests} == {"web1", "db1"}
    told = ordered.order.describe()
    assert (told["kept"], told["last"], told["trouble"]) == (1, str(file), None)
    assert told["freeze_on"] == ["slower-than 50ms"]


def test_only_so_many_files_are_kept(made: Any) -> None:
    """The oldest goes; what is not its own stays."""
    ordered = made(files=2)
    other = ordered.folder / "kvmlog-mine.kvmlog"
    other.write_text("mine")
    for number in range(1, 4):
        ordered.slow_until_kept(number)
    assert len(ordered.files()) == 3
    assert other.read_text() == "mine"


def test_a_file_is_no_larger_than_it_may_be(made: Any) -> None:
    """It ends in order, with what is most important: the time before the event."""
    ordered = made(file_mib=1, after_s=1.0)
    noise = recordings.exits(60_000, started_ns=time.monotonic_ns() - 10**9)
    for name in ("rip", "info1", "info2", "detail"):
        noise[name] = range(1, 60_001)
        noise[name] *= 0x9E3779B97F4A7C15
    noise["total_ns"] = noise["halt_ns"] = noise["user_ns"] = 0
    ordered.write(noise)
    ordered.write(ordered.slow())
    ordered.kept(1)
    (file,) = ordered.files()
    assert file.stat().st_size <= 1 << 20
    with Recording(file) as recording:
        assert recording.end is not None
        assert "file_mib" in recording.end.reason
        assert 16_384 <= recording.records < 60_000


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """They could replace the recordings."""
    folder = tmp_path / "kept"
    folder.mkdir()
    os.chmod(folder, 0o777)
    RingWriter(str(tmp_path / "ring"), 1_024).close()
    with pytest.raises(KvmlogError, match=r"recorder\.folder"):
        StandingOrder(str(tmp_path / "ring"), RecorderKeys(("hlt",), str(folder)))


def test_a_bridge_has_one(tmp_path: Path) -> None:
    """Its configuration has it, its status tells; a wrong event keeps it from starting."""
    kept = tmp_path / "kept"
    config = tmp_path / "kvmlog.toml"
    config.write_text(f'[recorder]\nfreeze_on = ["internal-error"]\nfolder = "{kept}"\n')
    with running_bridge(tmp_path, "--config", str(config)) as bridge:
        places = ("--ring", str(bridge.ring), "--switch", str(bridge.switch))
        lines = kvmlog("status", *places).stdout.splitlines()
        assert "recorder    waits for internal-error" in lines
        assert f"            0 kept in {kept}" in lines
        assert bridge.stop()[0] == 0
    config.write_text('[recorder]\nfreeze_on = ["slower-than soon"]\n')
    done = kvmlog("config", "check", str(config))
    assert done.returncode == 1
    assert "kvmlog bridge does not start: recorder.freeze_on: 'slower-than soon' is" in done.stderr
    done = kvmlog("bridge", "--freeze-on", "nonsense", "--recordings", str(kept))
    assert done.returncode == 1
    assert "recorder.freeze_on: 'nonsense' is nothing to wait for: give slower-than" in done.stderr
