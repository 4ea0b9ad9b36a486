# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that somebody cuts short, after the check of their size and before they are copied."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.statistics.reader import StatisticsReader
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import RingFormatError, StatisticsError
from tests.support import forking
from tests.support import records as make
from tests.support.statistics_feed import Counting, exits

SLOTS = 1024


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a file that is large enough: the check that comes first is content."""
    with (tmp_path / "whole").open("wb") as file:
        file.truncate(64 << 20)
        yield file.fileno()


def test_a_reader_of_the_ring_gets_an_error(tmp_path: Path, whole: int) -> None:
    """Not SIGBUS, for records, newest or by position, and for the header."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS) as writer:
        writer.append(make.exit_bytes() * 900)
    with RingReader(path) as reader:
        assert reader._map is not None
        reader._map.ring.fd = whole
        os.truncate(path, 8192)
        for since in (None, 0):
            with pytest.raises(RingFormatError, match="cut short under the reader"):
                reader.snapshot(since=since)
        os.truncate(path, 0)
        with pytest.raises(RingFormatError, match="cut short under the reader"):
            reader.info()


def test_a_reader_of_the_statistics_gets_an_error(tmp_path: Path) -> None:
    """The sibling: a copy of many elements, and the header."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(12))
        counting.writer.flush()
    copy = tmp_path / "copy"
    copy.write_bytes(counting.path.read_bytes())
    with StatisticsReader(copy) as reader, counting.path.open("rb") as whole:
        assert reader._map is not None
        # The first word is followed by pointers and a header; the last is the descriptor.
        native = ffi.cast("int *", reader._map.native)
        (at,) = [n for n in range(4, 2048) if native[n] == reader._map.fd][-1:]
        native[at] = whole.fileno()
        os.truncate(copy, 4096)
        with pytest.raises(StatisticsError, match="no copy could be made"):
            reader.snapshot()
        os.truncate(copy, 0)
        with pytest.raises(StatisticsError):
            reader.wait_until(0)


def test_a_fault_elsewhere_ends_the_process_as_ever(tmp_path: Path) -> None:
    """The handler takes only what it knows: any other SIGBUS kills."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS):
        pass

    def fault() -> None:
        with RingReader(path) as reader:
            reader.info()
            signal.raise_signal(signal.SIGBUS)

    assert forking.run(fault) == -signal.SIGBUS


def test_a_writer_ends_with_a_status_of_its_own(tmp_path: Path) -> None:
    """Its file's pages are gone: nothing can be written any more."""
    path = tmp_path / "ring"

    def write() -> None:
        with RingWriter(str(path), SLOTS) as writer:
            os.truncate(path, 4096)
            writer.append(make.exit_bytes() * 900)

    assert forking.run(write) == lib.KVMLOG_EXIT_FILE_CUT
