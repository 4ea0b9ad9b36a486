# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics that somebody else writes into while they are counted: an error, never a crash."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from kvmlog.native import ffi
from kvmlog.ring.statistics.reader import By
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import DamagedFileError, StatisticsError
from tests.support import forking
from tests.support.statistics_feed import SLOTS, Counting, exits, note

ROUNDS = 40
HEADER_FIELDS = [
    name
    for name, _ in ffi.typeof("struct kvmlog_statistics_header").fields
    if name.endswith(("_used", "_free", "_capacity", "_offset"))
]


def use(counting: Counting) -> None:
    """Do all that a bridge does with its statistics, and a reader."""
    for tgid in (7, 8):
        counting.feed(note(tgid, tgid), exits(50, guest=tgid, detail=range(50), flags=2))
    counting.feed(exits(3, guest=9), note(9, 7))
    counting.writer.make_room(lambda _guest: False)
    counting.forget(0, 1)
    counting.writer.begin(fresh=True)
    with contextlib.suppress(StatisticsError):
        counting.snapshot().rows(By.GUEST | By.REASON)
    counting.writer.describe()
    counting.writer.reset()


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_end_no_writer_and_no_reader(tmp_path: Path, seed: int) -> None:
    """Bytes are changed in any part of the file, more of them each round."""

    def scribble() -> None:
        chance = random.Random(seed)
        with Counting(tmp_path) as counting, counting.path.open("r+b", buffering=0) as file:
            use(counting)
            size = counting.path.stat().st_size
            for _ in range(ROUNDS):
                # Most of the file is empty: mostly its beginning, and the beginning of its parts.
                parts = (0, 4096, size // 100, size // 2, chance.randrange(size - 4096))
                for at in parts:
                    file.seek(at)
                    file.write(chance.randbytes(chance.choice((1, 8, 512, 4096))))
                with contextlib.suppress(StatisticsError):
                    use(counting)

    assert forking.run(scribble) == 0


@pytest.mark.parametrize("name", HEADER_FIELDS)
def test_no_number_of_the_header_is_believed(tmp_path: Path, name: str) -> None:
    """Each that says how much there is, as large as it can be."""

    def scribble() -> None:
        kind = dict(ffi.typeof("struct kvmlog_statistics_header").fields)[name]
        with Counting(tmp_path) as counting, counting.path.open("r+b", buffering=0) as file:
            use(counting)
            file.seek(kind.offset)
            file.write(b"\xff" * ffi.sizeof(kind.type))
            use(counting)

    assert forking.run(scribble) == 0


def test_blocks_of_a_reason_are_not_believed(tmp_path: Path) -> None:
    """Indices into the histograms: that they cannot be is noticed, and told."""

    def scribble() -> None:
        with Counting(tmp_path) as counting, counting.path.open("r+b", buffering=0) as file:
            counting.feed(note(1, 7), exits(50))
            counting.writer.flush()
            header = counting.writer.header()
            blocks = dict(ffi.typeof("struct kvmlog_statistics_reason").fields)["blocks"]
            file.seek(header.reasons_offset + blocks.offset)
            file.write(b"\xfe" * ffi.sizeof(blocks.type))
            counting.feed(exits(50))
            counting.writer.flush()
            with pytest.raises(DamagedFileError, match="somebody else wrote into the statistics"):
                counting.writer.keep()

    assert forking.run(scribble) == 0


def test_the_next_bridge_begins_anew(tmp_path: Path) -> None:
    """Damaged ones are not continued, even where they look whole again."""
    with Counting(tmp_path) as counting, counting.path.open("r+b", buffering=0) as file:
        before = bytes(counting.writer.header().statistics_id)
        file.write(bytes(8))
        with pytest.raises(DamagedFileError):
            counting.writer.keep()
    with (
        RingWriter(str(tmp_path / "ring"), SLOTS) as ring,
        contextlib.closing(StatisticsWriter(str(counting.path), ring, 1)) as writer,
    ):
        assert writer.restart_reason == "somebody else had written into them"
        assert bytes(writer.header().statistics_id) != before
