# SPDX-License-Identifier: GPL-2.0-or-later
"""What was written is read again: records byte for byte, guests, clocks, losses, the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlog.native import lib
from kvmlog.recording.format import BLOCK_RECORDS, records_block, records_of
from kvmlog.recording.format import read_header as block_header
from kvmlog.recording.header import End
from kvmlog.recording.reader import Recording
from kvmlog.recording.writer import FullError, RecordingWriter
from kvmlog.ring.clocks import ClockPair, Clocks
from kvmlog.ring.records import RECORD_BYTES, Record, decode_record
from tests.support import recordings
from tests.support.statistics_feed import RECORD

HEADER_BYTES = 56


def whole(recording: Recording) -> bytes:
    """All records of a recording."""
    return b"".join(recording.blocks())


def block_round_trip(raw: bytes) -> bytes:
    """Records through one block."""
    block = records_block(raw, 0)
    head = block_header(block[:HEADER_BYTES])
    assert head is not None
    return records_of(head, block[HEADER_BYTES:])


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, BLOCK_RECORDS - 1, BLOCK_RECORDS])
@pytest.mark.parametrize("isa", ["svm", "vmx"])
def test_a_block_of_any_length_comes_back(count: int, isa: str) -> None:
    """Stripes of 128 that are full and not, the least block and the largest."""
    raw = recordings.exits(count, isa=isa).tobytes()
    assert block_round_trip(raw) == raw


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=40 * RECORD_BYTES), st.integers(1, 300))
def test_any_bytes_come_back(some: bytes, count: int) -> None:
    """Also records of types that nobody knows, and fields that contradict each other."""
    raw = (some * (count * RECORD_BYTES // len(some) + 1))[: count * RECORD_BYTES]
    assert block_round_trip(raw) == raw


def test_random_records_come_back_and_are_stored_as_they_are() -> None:
    """What cannot be compressed takes its own length, and the block's frame."""
    raw = np.random.default_rng(3).bytes(5_000 * RECORD_BYTES)
    block = records_block(raw, 0)
    assert len(block) == HEADER_BYTES + 16 + RECORD_BYTES * (4 + 5_000)
    assert block_round_trip(raw) == raw


def test_a_block_tells_its_times_and_losses() -> None:
    """By which readers step over it."""
    records = recordings.exits(1_000)
    records["exit_ns"][[0, 500]] = records["exit_ns"][[500, 0]]
    head = block_header(records_block(records.tobytes(), 17)[:HEADER_BYTES])
    assert head is not None
    assert (head.records, head.lost_records) == (1_000, 17)
    assert head.first_ns == records["exit_ns"].min()
    assert head.last_ns == records["exit_ns"].max()


def test_a_recording_says_what_was_written(tmp_path: Path) -> None:
    """Header, guests, clocks, records in their order, losses and the totals."""
    guests = [recordings.guest(1, "web1"), recordings.guest(2, "db1")]
    clocks = Clocks([ClockPair(0, 5, 0), ClockPair(10, 7, 3_600)])
    about = recordings.header(selection="--vm web1", command="sleep 1", host="höst")
    records = recordings.exits(40_000)
    path = recordings.write(
        tmp_path / "x", records, guests=guests, clocks=clocks, about=about, lost_records=3
    )
    with Recording(path) as recording:
        assert recording.header == about
        assert list(recording.guests.guests) == guests
        assert recording.clocks().pairs == clocks.pairs
        assert whole(recording) == recordings.announcements(guests) + records.tobytes()
        assert (recording.records, recording.lost_records) == (40_002, 3)
        assert recording.first_ns == recordings.STARTED_NS + 1
        assert recording.last_ns == records["exit_ns"][-1]
        assert recording.damaged == []
        assert isinstance(recording.end, End)
        assert (recording.end.records, recording.end.lost_records) == (40_002, 3)
        assert recording.end.reason == "the time is over"


def test_a_guest_that_changes_is_as_it_was_last(tmp_path: Path) -> None:
    """Only guests that are new or have changed are written again."""
    first, second = recordings.guest(1, "web1"), recordings.guest(2, "db1")
    ended = recordings.guest(1, "web1", ended_realtime_ns=99)
    with opened(tmp_path / "x") as writer:
        writer.set_guests([first])
        before = writer.bytes_written
        writer.set_guests([first])
        assert writer.bytes_written == before
        writer.set_guests([ended, second])
        writer.end("done")
    with Recording(tmp_path / "x") as recording:
        assert set(recording.guests.guests) == {ended, second}


def test_clocks_are_those_known_last(tmp_path: Path) -> None:
    """A step while recording gives the records after it another time of day."""
    step = Clocks([ClockPair(0, 5, 0), ClockPair(10, 7, 0)])
    with opened(tmp_path / "x", clocks=Clocks([ClockPair(0, 5, 0)])) as writer:
        writer.set_clocks(step)
    with Recording(tmp_path / "x") as recording:
        assert recording.clocks().pairs == step.pairs


def test_blocks_between_two_times(tmp_path: Path) -> None:
    """Blocks without a record in between are stepped over, the others come whole."""
    records = recordings.exits(3 * BLOCK_RECORDS)
    path = recordings.write(tmp_path / "x", records, guests=[])
    middle = int(records["exit_ns"][BLOCK_RECORDS + 10])
    with Recording(path) as recording:
        (block,) = recording.blocks(since_ns=middle, until_ns=middle)
        assert block == records[BLOCK_RECORDS : 2 * BLOCK_RECORDS].tobytes()


def test_a_recording_that_is_written_is_followed(tmp_path: Path) -> None:
    """More comes by blocks; a cut one has no more, and nobody writes it."""
    records = recordings.exits(300).tobytes()
    third = 100 * RECORD_BYTES
    with opened(tmp_path / "x") as writer:
        writer.append(records[:third])
        writer.flush()
        with Recording(tmp_path / "x") as recording:
            assert whole(recording) == records[:third]
            assert list(recording.more()) == []
            writer.append(records[third:])
            assert list(recording.more()) == []
            writer.flush()
            writer.end("done")
            assert b"".join(recording.more()) == records[third:]
            assert recording.end is not None
            assert recording.records == 300


def test_a_recording_is_not_larger_than_it_may_be(tmp_path: Path) -> None:
    """What does not fit is left out, and the recording ends in order."""
    records = recordings.exits(100_000).tobytes()
    most = 300_000
    with opened(tmp_path / "x", most_bytes=most) as writer:
        with pytest.raises(FullError, match="300000 bytes"):
            writer.append(records)
        writer.end("full")
    assert (tmp_path / "x").stat().st_size <= most
    with Recording(tmp_path / "x") as recording:
        assert recording.end is not None
        kept = whole(recording)
    assert len(kept) == recording.end.records * RECORD_BYTES >= BLOCK_RECORDS * RECORD_BYTES
    assert records.startswith(kept)


def test_the_fields_of_a_record_survive(tmp_path: Path) -> None:
    """Extremes of each field: the differences wrap."""
    most: dict[str, Any] = {
        name: np.iinfo(RECORD[name]).max for name in ("exit_ns", "total_ns", "rip")
    }
    records = recordings.exits(4)
    for name, value in most.items():
        records[name][[1, 3]] = value
        records[name][2] = 0
    path = recordings.write(tmp_path / "x", records, guests=[])
    with Recording(path) as recording:
        back = [decode_record(whole(recording), n) for n in range(4)]
    assert all(isinstance(one, Record) for one in back)
    assert [one.ns for one in back] == records["exit_ns"].tolist()


class opened:  # noqa: N801 - used as a function
    """A writer of a new file, closed at the end without being ended."""

    def __init__(self, path: Path, clocks: Clocks = recordings.CLOCKS, **options: Any) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._writer = RecordingWriter(self._fd, recordings.header(), clocks, **options)

    def __enter__(self) -> RecordingWriter:
        return self._writer

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        os.close(self._fd)


def test_a_block_takes_no_more_records_than_it_may() -> None:
    """Nor none at all."""
    with pytest.raises(Exception, match="make no block"):
        records_block(bytes(RECORD_BYTES) * (BLOCK_RECORDS + 1), 0)
    with pytest.raises(Exception, match="make no block"):
        records_block(b"", 0)
    assert lib.KVMLOG_RECORDING_BLOCK_RECORDS == BLOCK_RECORDS
