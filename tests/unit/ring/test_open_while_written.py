# SPDX-License-Identifier: GPL-2.0-or-later
"""Headers read while a writer changes them: no pair of fields is of two moments.

The writers are processes at full speed; each test reads a fixed number of times.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.statistics.reader import StatisticsReader
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import RingFormatError
from tests.support import statistics_race
from tests.support.forking import Child
from tests.support.ring_stress import running
from tests.support.statistics_feed import Counting

SLOTS = 1024
WITHOUT_END = 2**62
TIMES = 5_000
STATISTICS_OPENS = 300


def test_a_healthy_ring_opens_while_it_is_written(tmp_path: Path) -> None:
    """Both counts move between any two loads; no ring is refused as damaged for that."""
    ring = tmp_path / "ring"
    with running("counts", ring, SLOTS, WITHOUT_END):
        first = last = 0
        for _ in range(TIMES):
            with RingReader(ring) as reader:
                last = reader.info().head
            first = first or last
        assert last - first > TIMES, "the writer stood still: the race was not run"


def test_a_header_never_shows_more_records_than_were_begun(tmp_path: Path) -> None:
    """head of info() is at most its reserve, which is at most one ring ahead."""
    ring = tmp_path / "ring"
    with running("counts", ring, SLOTS, WITHOUT_END), RingReader(ring) as reader:
        for _ in range(TIMES):
            info = reader.info()
            assert info.head <= info.reserve


@pytest.mark.parametrize(
    "change",
    [
        lambda writer: writer.switched(True, lib.KVMLOG_SOURCE_KMOD),
        lambda writer: writer.set_statistics(b"s" * 16),
        lambda writer: writer.publish_counters(writer.counters()),
        lambda writer: lib.kvmlog_writer_start(writer.native, 7, 9, b"b" * 16),
        lambda writer: lib.kvmlog_writer_state(writer.native, lib.KVMLOG_RING_STOPPED),
    ],
)
def test_what_belongs_together_is_guarded(
    tmp_path: Path, change: Callable[[RingWriter], None]
) -> None:
    """Each change is one update of the sequence lock, so that readers see all of it or nothing."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as writer:
        before = writer.header().info_sequence
        change(writer)
        assert writer.header().info_sequence == before + 2


@pytest.mark.parametrize(("head", "reserve"), [(5, 4), (0, SLOTS + 1), (2**64 - 1, 0)])
def test_counts_that_stay_contradictory_are_damage(tmp_path: Path, head: int, reserve: int) -> None:
    """A reader says what they are; a writer makes a new ring."""
    path = str(tmp_path / "ring")
    with RingWriter(path, SLOTS):
        pass
    with open(path, "r+b") as file:
        for name, value in (("head", head), ("reserve", reserve)):
            file.seek(ffi.offsetof("struct kvmlog_ring_header", name))
            file.write(value.to_bytes(8, "little"))
    with pytest.raises(RingFormatError, match=rf"damaged ring \(head {head}, reserve {reserve}\)"):
        RingReader(path)
    with RingWriter(path, SLOTS) as writer:
        assert writer.continued is False


def test_statistics_open_while_they_are_written(tmp_path: Path) -> None:
    """Counts, resets and forgotten guests at full speed: no open is refused, each copy is whole."""
    generations = set()
    with (
        Counting(tmp_path) as counting,
        Child(lambda: statistics_race.write(counting, WITHOUT_END, "churn")) as writer,
    ):
        for _ in range(STATISTICS_OPENS):
            with StatisticsReader(counting.path) as reader:
                now = reader.snapshot()
            statistics_race.check(now)
            assert now.torn == 0
            generations.add(now.generation)
        assert writer.is_running()
        writer.kill()
        writer.wait()
    assert len(generations) > 1, "the writer stood still: the race was not run"
