# SPDX-License-Identifier: GPL-2.0-or-later
"""Creating, continuing and replacing a ring, as its only writer."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from kvmlog.config.schema.defaults import DEFAULT_SLOTS
from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import LossRecord, unpack_records
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import RingBusyError, RingError, RingFormatError
from tests.support import records as make

SLOTS = 1024


def patch_header(path: Path, field: str, value: int) -> None:
    """Overwrites one field of a ring that nobody has open."""
    info = dict(ffi.typeof("struct kvmlog_ring_header").fields)[field]
    with path.open("r+b") as file:
        file.seek(info.offset)
        file.write(value.to_bytes(ffi.sizeof(info.type), "little"))


def state(file: BinaryIO) -> int:
    """The state in the header of a ring, by whatever name it goes."""
    file.seek(dict(ffi.typeof("struct kvmlog_ring_header").fields)["state"].offset)
    return int.from_bytes(file.read(4), "little")


def test_the_file_is_whole_closed_to_others_and_has_all_its_blocks(tmp_path: Path) -> None:
    """0640, no holes, nothing left over beside it but the lock; missing folders are made 0750."""
    path = tmp_path / "run" / "ring"
    with RingWriter(str(path), SLOTS):
        status = path.stat()
        assert stat.S_IMODE(status.st_mode) == 0o640
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
        assert status.st_size == 4096 + SLOTS * 112
        assert status.st_blocks * 512 >= status.st_size
        assert sorted(os.listdir(path.parent)) == ["ring", "ring.lock"]


def test_who_may_read_the_ring_cannot_lock_it(tmp_path: Path) -> None:
    """The lock file gets mode 0600, an older one too: a reader's lock would keep the bridge out."""
    path, lock = tmp_path / "ring", tmp_path / "ring.lock"
    lock.touch()
    lock.chmod(0o640)
    with RingWriter(str(path), SLOTS):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_the_default_is_65536_slots() -> None:
    """The default is the documented one."""
    assert DEFAULT_SLOTS == 65_536


@pytest.mark.parametrize("slots", [0, -1, 1, 512, 1000, 1025, 2**25, 65_535])
def test_slots_are_a_power_of_two_within_limits(tmp_path: Path, slots: int) -> None:
    """The message has the limits."""
    with pytest.raises(RingError, match="power of two from 1024 to 16777216"):
        RingWriter(str(tmp_path / "ring"), slots)


def test_a_ring_of_the_same_geometry_goes_on(tmp_path: Path) -> None:
    """Same id, records and counts kept, no loss after an end in order."""
    path = str(tmp_path / "ring")
    with RingWriter(path, SLOTS) as writer:
        ring_id = writer.ring_id
        writer.append(make.exit_bytes(exit_ns=1))
        writer.publish_counters({**writer.counters(), "seen": 5, "emitted": 5})
    with RingWriter(path, SLOTS) as writer:
        assert writer.continued
        assert not writer.killed_before
        assert writer.ring_id == ring_id
        assert writer.counters()["seen"] == 5
        writer.append(make.exit_bytes(exit_ns=2))
    with RingReader(path) as reader:
        assert [record.ns for record in unpack_records(reader.snapshot().records)] == [1, 2]


def test_reserve_is_never_lowered(tmp_path: Path) -> None:
    """A restart keeps it: it guards the slots that a killed writer had begun to fill."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS) as writer:
        writer.append(make.exit_bytes() * 3)
    patch_header(path, "reserve", 103)
    with RingWriter(str(path), SLOTS) as writer:
        assert (writer.header().head, writer.header().reserve) == (3, 103)
        writer.append(make.exit_bytes())
        assert (writer.header().head, writer.header().reserve) == (4, 103)


def test_after_a_kill_the_stream_says_so_and_pending_exits_are_dropped(tmp_path: Path) -> None:
    """LOSS (restart) of unknown size; the counters' sum holds."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS) as writer:
        counts = {"seen": 10, "emitted": 7, "dropped": 1, "pending": 2}
        writer.publish_counters({**writer.counters(), **counts})
    patch_header(path, "state", lib.KVMLOG_RING_RUNNING)
    with RingWriter(str(path), SLOTS) as writer:
        assert writer.killed_before
        counters = writer.counters()
        assert (counters["dropped"], counters["pending"]) == (3, 0)
    with RingReader(path) as reader:
        (record,) = unpack_records(reader.snapshot().records)
    assert isinstance(record, LossRecord)
    assert (record.cause, record.lost, record.cpu, record.source) == (
        lib.KVMLOG_LOSS_RESTART,
        0,
        lib.KVMLOG_NO_CPU,
        lib.KVMLOG_SOURCE_ENGINE,
    )


def test_an_update_that_a_kill_cut_short_does_not_block_readers(tmp_path: Path) -> None:
    """info_sequence left odd: readable at once, even again after a restart."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS):
        pass
    patch_header(path, "info_sequence", 7)
    with RingReader(path) as reader:
        assert reader.info().state == "stopped"
        with RingWriter(str(path), SLOTS) as writer:
            assert writer.header().info_sequence % 2 == 0
            assert reader.info().state == "running"


def test_another_geometry_replaces_the_ring(tmp_path: Path) -> None:
    """The old file says REPLACED to who still has it open."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS) as writer:
        ring_id = writer.ring_id
    with path.open("rb") as old:
        with RingWriter(str(path), 2 * SLOTS) as writer:
            assert not writer.continued
            assert writer.ring_id != ring_id
        assert state(old) == lib.KVMLOG_RING_REPLACED


@pytest.mark.parametrize("field", ["format_version", "schema_version", "record_bytes", "head"])
def test_a_ring_that_cannot_be_continued_is_replaced(tmp_path: Path, field: str) -> None:
    """The ring of another version, or a damaged one, is replaced."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS):
        pass
    patch_header(path, field, 77_777)
    with RingWriter(str(path), SLOTS) as writer:
        assert not writer.continued
        assert writer.header().head == 0


def test_a_ring_of_schema_1_is_refused_and_replaced(tmp_path: Path) -> None:
    """Its records were 104 bytes: no reader takes them for today's, the writer begins anew."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS) as writer:
        ring_id = writer.ring_id
    os.truncate(path, 4096 + SLOTS * 104)
    patch_header(path, "schema_version", 1)
    patch_header(path, "record_bytes", 104)
    with pytest.raises(RingFormatError, match="record schema 1, this version knows 2"):
        RingReader(path)
    with path.open("rb") as old:
        with RingWriter(str(path), SLOTS) as writer:
            assert not writer.continued
            assert writer.ring_id != ring_id
            assert writer.header().schema_version == 2
        assert path.stat().st_size == 4096 + SLOTS * 112
        assert state(old) == lib.KVMLOG_RING_REPLACED


def test_a_file_that_is_no_ring_is_left_alone(tmp_path: Path) -> None:
    """A slip in --ring must not cost anybody a file."""
    path = tmp_path / "letter"
    path.write_text("Dear reader,\n")
    with pytest.raises(RingError, match="holds something else"):
        RingWriter(str(path), SLOTS)
    assert path.read_text() == "Dear reader,\n"


def test_an_empty_file_becomes_a_ring(tmp_path: Path) -> None:
    """There is nothing to lose in it."""
    path = tmp_path / "ring"
    path.touch()
    with RingWriter(str(path), SLOTS) as writer:
        assert writer.header().capacity == SLOTS


def test_a_leftover_of_a_killed_start_does_not_hinder(tmp_path: Path) -> None:
    """PATH.new of a writer that died while making it."""
    (tmp_path / "ring.new").write_text("half")
    with RingWriter(str(tmp_path / "ring"), SLOTS):
        assert not (tmp_path / "ring.new").exists()


def test_a_second_writer_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    """The lock holds across processes."""
    path = str(tmp_path / "ring")
    code = f"from kvmlog.ring.writer import RingWriter; RingWriter({path!r}, {SLOTS})"
    with RingWriter(path, SLOTS):
        with pytest.raises(RingBusyError, match=f"process {os.getpid()} writes this ring"):
            RingWriter(path, SLOTS)
        second = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert f"process {os.getpid()} writes this ring" in second.stderr


def no_room(path: Path, wrapper: list[str], prelude: str) -> str:
    """Return the message of a writer that has no room for its ring."""
    code = (
        f"{prelude}\n"
        "from kvmlog.util.errors import KvmlogError\n"
        "from kvmlog.ring.writer import RingWriter\n"
        "try:\n"
        f"    RingWriter({str(path)!r}, 65_536)\n"
        "except KvmlogError as error:\n"
        "    print(error)\n"
        "import os\n"
        f"print(sorted(os.listdir({str(path.parent)!r})))\n"
    )
    command = [*wrapper, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_no_room_is_a_sentence_and_leaves_no_half_ring(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full file system: the same call fails."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))"
    said, files = no_room(tmp_path / "ring", [], limit).splitlines()
    assert "no room for 7344128 bytes" in said
    assert "--slots" in said
    assert files == "['ring.lock']"


if os.geteuid() == 0:

    def test_a_full_tmpfs_is_a_sentence(tmp_path: Path) -> None:
        """ENOSPC itself, in a mount namespace of its own; root only."""
        mount = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "$@"'
        wrapper = ["unshare", "--mount", "sh", "-c", mount, "sh"]
        said, files = no_room(tmp_path / "ring", wrapper, "").splitlines()
        assert "no room for 7344128 bytes (No space left on device)" in said
        assert files == "['ring.lock']"
