# SPDX-License-Identifier: GPL-2.0-or-later
"""Any file gives rows or an error message, never a crash; tried in a child, which may crash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kvmlog.native import ffi, lib
from kvmlog.ring.statistics.reader import StatisticsReader
from kvmlog.util.errors import StatisticsError
from tests.support import forking
from tests.support.statistics_feed import ALL_BY, Counting, Records, exits, note

Patches = list[tuple[int, bytes]]
HEADER_FIELDS = [
    (field.offset, ffi.sizeof(field.type))
    for name, field in ffi.typeof("struct kvmlog_statistics_header").fields
]
STATE = ffi.offsetof("struct kvmlog_statistics_header", "state")
EDGES = (0, 1, 2, 37, 127, 128, 255, 256, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def some_exits() -> Records:
    """Exits of four guests, with all kinds of rows."""
    random = np.random.default_rng(1)
    count = 600
    return exits(
        count,
        guest=random.integers(1, 5, count),
        vcpu=random.integers(0, 3, count),
        reason=random.choice([0x78, 0x7B, 0x400], count),
        flags=random.integers(0, 2**10, count),
        user_reason=random.integers(0, 7, count),
        detail=random.integers(0, 9, count),
        total_ns=random.lognormal(9, 3, count).astype(np.uint64),
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole file, of 1 MiB. (A path: hypothesis would print all of its bytes.)"""
    with Counting(tmp_path_factory.mktemp("good")) as counting:
        counting.feed(note(1, 100), note(2, 200), some_exits())
    return counting.path


@st.composite
def damage(draw: st.DrawFn) -> Patches:
    """Numbers of the header and of elements in use overwritten, and bytes anywhere."""
    patches: Patches = []
    for _ in range(draw(st.integers(1, 6))):
        number = draw(st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1)))
        size = draw(st.sampled_from([1, 2, 4, 8]))
        if draw(st.booleans()):
            offset, size = draw(st.sampled_from(HEADER_FIELDS))
            size = min(size, 8)
        else:
            part = draw(st.sampled_from(PARTS))
            element = draw(st.integers(0, 20))
            field = draw(st.integers(0, part[1] // size - 1)) * size
            offset = part[0] + element * part[1] + field
        patches.append((offset, (number % 2 ** (8 * size)).to_bytes(size, "little")))
    for _ in range(draw(st.integers(0, 3))):
        patches.append((draw(st.integers(0, 2**20 - 64)), draw(st.binary(max_size=64))))
    return patches


def _parts() -> list[tuple[int, int]]:
    """Offset and element size of guests, reasons, blocks and rows."""
    header = ffi.new("struct kvmlog_statistics_header *")
    assert lib.kvmlog_statistics_layout(1 << 20, header) == 0
    return [
        (getattr(header, f"{name}s_offset"), ffi.sizeof(f"struct kvmlog_statistics_{name}"))
        for name in ("guest", "reason", "block", "row")
    ]


PARTS = _parts()


def read(path: Path, good: Path) -> None:
    """Make all of a reader's calls: a snapshot or an error message."""
    with StatisticsReader(good) as reader:
        base = reader.snapshot()
    try:
        with StatisticsReader(path) as reader:
            snapshot = reader.snapshot()
            reader.wait_until(0, timeout_s=0)
    except StatisticsError:
        return
    for by in ALL_BY:
        rows = snapshot.rows(by)
        assert rows == snapshot.rows(by)
        snapshot.rows(by, base)
        base.rows(by, snapshot)
        snapshot.rows(by, guests=[*snapshot.guests, 10**6])


def write(folder: Path) -> None:
    """Make all of a writer's calls: it continues or begins anew, and counts correctly then."""
    with Counting(folder) as counting:
        before = counting.snapshot().exits
        counting.writer.begin(fresh=True)
        counting.feed(exits(10, guest=9), note(9, 100), note(8, 900), some_exits())
        assert counting.snapshot().exits == (before + 610) % 2**64
        counting.writer.make_room(lambda guest: guest.tgid == 900)
        counting.forget(0, 3)
        counting.feed(some_exits())
        for by in ALL_BY:
            counting.rows(by)
        counting.writer.reset()
        counting.feed(some_exits())
        assert sum(row.count for row in counting.rows()) == 600


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(patches=damage(), cut=st.one_of(st.none(), st.integers(0, 2**20)))
@example(patches=[], cut=None)
def test_a_damaged_file_is_read_and_taken_over_without_a_crash(
    good: Path, tmp_path: Path, patches: Patches, cut: int | None
) -> None:
    """All ways to group and all that a bridge does, in a process that must end by itself."""
    raw = bytearray(good.read_bytes())
    for offset, patch in patches:
        raw[offset : offset + len(patch)] = patch
    # Of a killed writer a reader waits for what is unfinished: not for each of so many files.
    raw[STATE : STATE + 4] = int(lib.KVMLOG_STATISTICS_STOPPED).to_bytes(4, "little")
    path = tmp_path / "ring.statistics"
    # The magic stays: without it the file is another's, and is refused.
    path.write_bytes(bytes(good.read_bytes()[:8] + raw[8:cut]))
    assert forking.run(lambda: read(path, good)) == 0
    assert forking.run(lambda: write(tmp_path)) == 0
