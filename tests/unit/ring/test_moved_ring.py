# SPDX-License-Identifier: GPL-2.0-or-later
"""A ring that lost its name goes on in a new file; after a kill the counts are the ring's own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import unpack_records
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import RingBusyError
from tests.support import forking
from tests.support import records as make
from tests.support.statistics_feed import Counting, exits

SLOTS = 1024


def numbered(first: int, count: int) -> bytes:
    """Return exits whose times are their indices."""
    return b"".join(make.exit_bytes(exit_ns=first + n) for n in range(count))


@pytest.mark.parametrize("before", [0, 1, SLOTS - 1, SLOTS, 5_001])
def test_no_record_is_lost_where_the_ring_is_removed(tmp_path: Path, before: int) -> None:
    """A reader goes on at its position, in the new file, without a gap or a repetition."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS) as writer, RingReader(path) as reader:
        writer.append(numbered(0, before))
        seen = reader.snapshot(since=max(0, before - 10))
        path.unlink()
        writer.append(numbered(before, 7))
        assert writer.keep() == ""
        writer.append(numbered(before + 7, 7))
        after = reader.snapshot(since=seen.next_index)
        assert (after.ring_id, after.first_index, after.overwritten) == (seen.ring_id, before, 0)
        assert [one.ns for one in unpack_records(after.records)] == [before + n for n in range(14)]
        assert reader.info().state == "running"
        with RingReader(path) as fresh:
            newest = unpack_records(fresh.snapshot(count=500).records)
            total = before + 14
            assert [one.ns for one in newest] == list(range(max(0, total - 500), total))
        assert writer.keep() == ""


def test_no_exit_is_lost_where_the_statistics_are_removed(tmp_path: Path) -> None:
    """The sibling: counts go on, with the same id, for readers of the old file too."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(12))
        before = counting.snapshot()
        counting.path.unlink()
        counting.feed(exits(5))
        assert counting.writer.keep() == ""
        counting.feed(exits(3))
        after = counting.snapshot()
        assert (before.exits, after.exits) == (12, 20)
        assert after.statistics_id == before.statistics_id
        assert counting.path.exists()
        assert [row.count for row in counting.rows()] == [20]
        assert counting.writer.keep() == ""


def test_a_second_writer_is_refused_without_the_lock_file(tmp_path: Path) -> None:
    """The header names a process that lives."""
    path = str(tmp_path / "ring")
    with RingWriter(path, SLOTS) as writer:
        pid = os.getpid()
        os.unlink(f"{path}.lock")

        def second() -> None:
            with pytest.raises(RingBusyError, match=f"process {pid} writes this ring already"):
                RingWriter(path, SLOTS)

        assert forking.run(second) == 0
        assert writer.keep() == ""
        os.unlink(f"{path}.lock")


def test_counts_after_a_kill_are_those_of_the_ring(tmp_path: Path) -> None:
    """Published once a second, they lack what came after; their sum holds again."""
    path = str(tmp_path / "ring")

    def be_killed() -> None:
        writer = RingWriter(path, SLOTS)
        writer.append(make.exit_bytes() * 6_861)
        counts = {"seen": 7_000, "emitted": 6_861, "filtered": 39, "pending": 100}
        writer.publish_counters({**writer.counters(), **counts})
        writer.append(make.exit_bytes() * 4_569)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forking.run(be_killed) == -signal.SIGKILL
    with RingReader(path) as reader:
        assert reader.info().state == "abandoned"
    with RingWriter(path, SLOTS) as writer:
        counts = writer.counters()
        # The note of the restart is no exit.
        assert writer.header().head == 11_430 + 1
    assert counts["emitted"] == 11_430
    assert counts["pending"] == 0
    parts = ("emitted", "filtered", "sampled", "dropped", "pending")
    assert counts["seen"] == sum(counts[part] for part in parts)


def test_what_a_killed_writer_did_not_count_is_counted(tmp_path: Path) -> None:
    """It was killed between a batch and its count."""
    path = str(tmp_path / "ring")

    def be_killed() -> None:
        writer = RingWriter(path, SLOTS)
        writer.append(make.exit_bytes() * 20)
        header = writer.header()
        assert (header.exits, header.exits_head) == (20, 20)
        lib.kvmlog_writer_loss(writer.native, lib.KVMLOG_LOSS_MESSAGE, 1, 1, 0)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forking.run(be_killed) == -signal.SIGKILL
    with RingWriter(path, SLOTS) as writer:
        assert (writer.header().exits, writer.counters()["emitted"]) == (20, 20)
