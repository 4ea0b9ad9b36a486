# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots: the records that they hold, and the count of those that they missed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import RECORD_BYTES, iter_records
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import RingError, RingFormatError, RingMissingError
from tests.support import records as make

SLOTS = 1024


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A small ring."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as ring_writer:
        yield ring_writer


def append(writer: RingWriter, first: int, count: int) -> None:
    """Exits whose time is their index."""
    writer.append(b"".join(make.exit_bytes(exit_ns=first + i) for i in range(count)))


def times(records: bytes) -> list[int]:
    """The times of all records."""
    return [record.ns for record in iter_records(records)]


def test_the_newest_records_come_oldest_first(writer: RingWriter) -> None:
    """A count of all, fewer, none, and more than there are."""
    append(writer, 0, 10)
    with RingReader(writer.path) as reader:
        assert times(reader.snapshot().records) == list(range(10))
        newest = reader.snapshot(3)
        assert times(newest.records) == [7, 8, 9]
        assert (newest.first_index, newest.next_index, newest.overwritten) == (7, 10, 0)
        assert reader.snapshot(0).records == b""
        assert len(reader.snapshot(5000).records) == 10 * RECORD_BYTES


def test_a_ring_that_wrapped_keeps_the_newest(writer: RingWriter) -> None:
    """The oldest are overwritten, the order stays."""
    append(writer, 0, SLOTS - 10)
    append(writer, SLOTS - 10, 500)
    with RingReader(writer.path) as reader:
        snapshot = reader.snapshot()
        assert times(snapshot.records) == list(range(490, SLOTS + 490))
        assert snapshot.next_index == SLOTS + 490


def test_reading_on_from_a_position_gives_each_record_once(writer: RingWriter) -> None:
    """next_index of one snapshot is `since` of the next; limited counts give the oldest part."""
    append(writer, 0, 10)
    with RingReader(writer.path) as reader:
        first = reader.snapshot(4, since=0)
        assert times(first.records) == [0, 1, 2, 3]
        rest = reader.snapshot(since=first.next_index)
        assert times(rest.records) == [4, 5, 6, 7, 8, 9]
        assert reader.snapshot(since=rest.next_index).records == b""
        append(writer, 10, 1)
        assert times(reader.snapshot(since=rest.next_index).records) == [10]


def test_records_that_are_gone_are_counted(writer: RingWriter) -> None:
    """A reader that was away too long learns how many it missed."""
    append(writer, 0, 10)
    append(writer, 10, SLOTS)
    with RingReader(writer.path) as reader:
        snapshot = reader.snapshot(since=4)
        assert snapshot.overwritten == 6
        assert snapshot.first_index == 10
        assert times(snapshot.records)[0] == 10


def test_an_index_ahead_of_the_writer_gives_nothing(writer: RingWriter) -> None:
    """An index ahead of the writer gives no record, the largest ones included."""
    append(writer, 0, 10)
    with RingReader(writer.path) as reader:
        for since in (11, 2**63, 2**64 - 1, 2**70):
            snapshot = reader.snapshot(since=since)
            assert (snapshot.records, snapshot.next_index) == (b"", 10)


def test_negative_numbers_are_refused(writer: RingWriter) -> None:
    """Negative numbers are refused with a message."""
    with RingReader(writer.path) as reader:
        with pytest.raises(RingError, match="negative"):
            reader.snapshot(-1)
        with pytest.raises(RingError, match="negative"):
            reader.snapshot(since=-1)


def test_slots_under_way_are_not_returned(writer: RingWriter) -> None:
    """A writer that died in mid-batch: what it had begun to overwrite is discarded and counted."""
    append(writer, 0, SLOTS)
    native = ffi.new("struct kvmlog_ring *")
    with open(writer.path, "r+b") as file:
        assert lib.kvmlog_ring_map(native, file.fileno(), SLOTS, RECORD_BYTES, 1) == 0
        native.header.reserve = SLOTS + 100
        ffi.memmove(native.slots, b"\xff" * 100 * RECORD_BYTES, 100 * RECORD_BYTES)
        lib.kvmlog_ring_unmap(native)
    with RingReader(writer.path) as reader:
        snapshot = reader.snapshot()
        assert snapshot.overwritten == 100
        assert times(snapshot.records) == list(range(100, SLOTS))


def test_a_replaced_ring_is_followed(tmp_path: Path) -> None:
    """The next snapshot is of the new file and carries its id."""
    path = str(tmp_path / "ring")
    with RingWriter(path, SLOTS) as writer:
        append(writer, 0, 5)
    with RingReader(path) as reader:
        old = reader.snapshot()
        with RingWriter(path, 2 * SLOTS) as writer:
            append(writer, 100, 2)
            new = reader.snapshot()
            assert reader.info().capacity == 2 * SLOTS
    assert old.ring_id != new.ring_id
    assert times(new.records) == [100, 101]


def test_a_ring_made_anew_after_a_removal_is_followed(tmp_path: Path) -> None:
    """Nobody could mark the removed file; the name leads to another one."""
    path = str(tmp_path / "ring")
    with RingWriter(path, SLOTS) as writer:
        append(writer, 0, 5)
    with RingReader(path) as reader:
        os.unlink(path)
        assert times(reader.snapshot().records) == [0, 1, 2, 3, 4]
        with RingWriter(path, SLOTS) as writer:
            append(writer, 100, 1)
            assert times(reader.snapshot().records) == [100]


def test_info_says_who_writes(writer: RingWriter) -> None:
    """State, writer, clocks, counters."""
    counters = {**writer.counters(), "seen": 7, "emitted": 7}
    writer.publish_counters(counters)
    writer.switched(True, lib.KVMLOG_SOURCE_KMOD)
    with RingReader(writer.path) as reader:
        info = reader.info()
        assert (info.state, info.writer_pid, info.writer_alive) == ("running", os.getpid(), True)
        assert (info.source, info.switched_on) == ("kmod", True)
        assert info.counters == counters
        assert info.ring_id == writer.ring_id
        assert 0 < info.monotonic_ns <= time.monotonic_ns()
        writer.close()
        info = reader.info()
        assert (info.state, info.writer_alive, info.switched_on) == ("stopped", False, False)


def test_wall_time_follows_the_headers_clocks(writer: RingWriter) -> None:
    """Monotonic and wall time of one moment belong together."""
    with RingReader(writer.path) as reader:
        info = reader.info()
        assert reader.clocks().at(info.monotonic_ns + 5) == (
            info.realtime_ns + 5,
            info.utc_offset_s,
        )


def test_a_file_cut_under_the_reader_is_a_sentence(tmp_path: Path) -> None:
    """No SIGBUS: the size is looked at before each copy."""
    path = str(tmp_path / "ring")
    with RingWriter(path, SLOTS) as writer:
        append(writer, 0, 5)
    with RingReader(path) as reader:
        for size in (8192, 0):
            os.truncate(path, size)
            with pytest.raises(RingFormatError, match="cut short"):
                reader.snapshot()
            with pytest.raises(RingFormatError, match="cut short"):
                reader.info()


def test_a_missing_ring_says_what_to_do(tmp_path: Path) -> None:
    """A directory or a FIFO is no ring, and opening it does not block."""
    with pytest.raises(RingMissingError, match="start the bridge"):
        RingReader(tmp_path / "ring")
    with pytest.raises(RingFormatError, match="not a regular file"):
        RingReader(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RingFormatError, match="not a regular file"):
        RingReader(tmp_path / "fifo")


def test_a_closed_reader_says_so(writer: RingWriter) -> None:
    """A closed reader raises and touches no unmapped memory."""
    reader = RingReader(writer.path)
    reader.close()
    reader.close()
    with pytest.raises(RingError, match="closed"):
        reader.snapshot()
