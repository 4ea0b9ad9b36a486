# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader never returns a torn record, however fast the writer laps it.

Each case writes 10^7 records, in `make soak` 10^9.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from tests.support.ring_stress import kill, make_ring_file, start
from tests.support.scale import RING_RECORDS

CAPACITY = 1024
BATCH = 292
HANG_S = 120 + RING_RECORDS // 100_000


def finish(end: subprocess.Popen[str]) -> str:
    """Return its output up to its end, which has to be a success."""
    output, _ = end.communicate(timeout=HANG_S)
    assert end.returncode == 0
    return output


def race(ring: Path, how: str) -> dict[str, int]:
    """Writes RING_RECORDS records while a reader takes snapshots of the whole ring."""
    reader = start("read", ring, RING_RECORDS, CAPACITY, how)
    try:
        finish(start("write", ring, RING_RECORDS, BATCH))
        result: dict[str, int] = json.loads(finish(reader))
    finally:
        kill(reader)
    return result


@pytest.mark.parametrize("record_bytes", [32, 112])
def test_no_torn_record_reaches_a_reader(tmp_path: Path, record_bytes: int) -> None:
    """Nothing torn among what the protocol keeps, and it does keep records."""
    ring = tmp_path / "ring"
    make_ring_file(ring, CAPACITY, record_bytes)
    seen = race(ring, "protocol")
    assert seen["torn"] == 0
    assert seen["read"] > 0
    assert seen["overwritten"] > 0, "the writer never lapped the reader: the race was not run"


@pytest.mark.parametrize("record_bytes", [32, 112])
def test_control_a_reader_that_trusts_head_alone_reads_torn_records(
    tmp_path: Path, record_bytes: int
) -> None:
    """The same race does tear records without `reserve`: the test above can fail."""
    ring = tmp_path / "ring"
    make_ring_file(ring, CAPACITY, record_bytes)
    assert race(ring, "head")["torn"] > 0


def test_a_writer_killed_again_and_again_never_makes_a_reader_return_a_torn_record(
    tmp_path: Path,
) -> None:
    """SIGKILL in mid-batch, a restart on the same ring, twenty times, under a watching reader."""
    ring, kills, batch = tmp_path / "ring", 20, 900
    finish(start("bridge", ring, CAPACITY, 1, batch))
    goal = 2**62
    reader = start("read", ring, goal, CAPACITY, "protocol")
    in_mid_batch = 0
    try:
        for _ in range(kills):
            with RingReader(ring) as view:
                before = view.info()
            writer = start("bridge", ring, CAPACITY, goal, batch)
            with RingReader(ring) as view:
                while view.info().head < before.head + 20_000:
                    pass
                kill(writer)
                after = view.info()
            assert after.state == "abandoned"
            assert not after.writer_alive
            assert after.reserve >= before.reserve
            assert after.head <= after.reserve <= after.head + batch
            in_mid_batch += after.reserve != after.head
        assert in_mid_batch > 0
        # The reader ends when head reaches its goal: the test's last word to it.
        finish(start("bridge", ring, CAPACITY, 5_000, batch))
        set_head(ring, goal)
        seen = json.loads(finish(reader))
    finally:
        kill(reader)
    assert seen["torn"] == 0
    assert seen["read"] > 0


def set_head(ring: Path, head: int) -> None:
    """Head and a reserve that leaves nothing readable."""
    with ring.open("r+b") as file:
        for offset, value in ((384, head + CAPACITY), (512, head)):
            file.seek(offset)
            file.write(value.to_bytes(8, "little"))
            file.flush()


def test_each_restart_after_a_kill_is_noted_in_the_stream(tmp_path: Path) -> None:
    """A LOSS record (restart) stands exactly where the next writer went on."""
    ring = tmp_path / "ring"
    writer = start("bridge", ring, CAPACITY, 2**62, 10)
    kill(writer)
    with RingReader(ring) as view:
        head = view.info().head
    finish(start("bridge", ring, CAPACITY, 1, 1))
    with RingReader(ring) as view:
        records = view.snapshot(since=head).records
    assert records[0] == lib.KVMLOG_RECORD_LOSS
    assert len(records) == 2 * lib.KVMLOG_RECORD_BYTES
