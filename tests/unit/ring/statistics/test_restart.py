# SPDX-License-Identifier: GPL-2.0-or-later
"""A statistics file that is there already: continued, begun anew with the reason, or refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvmlog.native import ffi, lib
from kvmlog.ring.statistics.reader import By, Snapshot, StatisticsReader
from kvmlog.util.errors import StatisticsError, StatisticsMissingError
from tests.support.statistics_corruption import HEADER, element, number_at, offset, patch
from tests.support.statistics_feed import PER_REASON, Counting, counted, exits, note

UNFINISHED = "they were left in the middle of an update"
EXITS = 100


@pytest.fixture
def left(tmp_path: Path) -> Snapshot:
    """What a bridge that ended in order has left: one guest, one reason, and their rows."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(EXITS, total_ns=5_000, vcpu=3))
        return counting.snapshot()


def test_after_an_orderly_end_all_goes_on(tmp_path: Path, left: Snapshot) -> None:
    """The same id, guests and counts; what comes is added."""
    with Counting(tmp_path) as counting:
        counting.writer.begin(fresh=True)
        before = counting.snapshot()
        counting.feed(note(1, 100), exits(EXITS, total_ns=5_000, vcpu=3))
        after = counting.snapshot()
        assert counting.writer.continued
        assert bytes(counting.ring.header().statistics_id).hex() == left.statistics_id
    assert before.statistics_id == after.statistics_id == left.statistics_id
    assert before.rows(PER_REASON) == left.rows(PER_REASON)
    (row,) = after.rows(By.GUEST | By.VCPU, left)
    assert (row.guest, row.vcpu, row.count) == (0, 3, EXITS)
    assert (len(after.guests), after.exits) == (1, 2 * EXITS)


def test_what_was_not_written_yet_is_written_at_the_end(tmp_path: Path) -> None:
    """close() brings the file up to date; its state says that it ended in order."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(7))
        assert number_at(counting.path, offset("state")) == lib.KVMLOG_STATISTICS_RUNNING
    assert number_at(counting.path, offset("state")) == lib.KVMLOG_STATISTICS_STOPPED
    with StatisticsReader(counting.path) as reader:
        assert reader.snapshot().exits == 7


def test_of_another_size_they_begin_anew_and_readers_follow(tmp_path: Path, left: Snapshot) -> None:
    """The old file is marked REPLACED for those who hold it; a reader opens the new one."""
    path = tmp_path / "ring.statistics"
    with StatisticsReader(path) as reader, path.open("rb") as old:
        with Counting(tmp_path, mib=2) as counting:
            assert counting.writer.restart_reason == "they had 1 MiB"
            now = reader.snapshot()
            # A base of another file, and guests of a larger one, are no reason to fail.
            assert now.rows(PER_REASON, left, guests=[0, 10**6]) == []
        old.seek(offset("state"))
        assert int.from_bytes(old.read(4), "little") == lib.KVMLOG_STATISTICS_REPLACED
    assert now.statistics_id != left.statistics_id
    assert (now.exits, now.guests) == (0, {})


def test_an_earlier_copy_of_a_smaller_file_with_the_same_id_is_no_base(
    tmp_path: Path, left: Snapshot
) -> None:
    """A forged file: beyond the end of the earlier copy there is nothing to be read."""
    with Counting(tmp_path, mib=2) as counting:
        counting.feed(note(1, 100), exits(EXITS, total_ns=5_000, vcpu=3))
        counting.writer.flush()
        statistics_id = int.from_bytes(bytes.fromhex(left.statistics_id), "little")
        patch(counting.path, offset("statistics_id"), statistics_id, 16)
        patch(counting.path, offset("since_ns"), left.since_ns, 8)
        now = counting.reader.snapshot()
        assert (now.statistics_id, now.since_ns) == (left.statistics_id, left.since_ns)
        assert [row.count for row in now.rows(PER_REASON, left)] == [EXITS]


@pytest.mark.usefixtures("left")
def test_of_an_earlier_boot_they_begin_anew(tmp_path: Path) -> None:
    """Times since another boot mean nothing, nor do pids."""
    patch(tmp_path / "ring.statistics", offset("boot_id"), 12_345)
    with Counting(tmp_path) as counting:
        assert counting.writer.restart_reason == "they were of an earlier boot"
        assert counting.snapshot().exits == 0


@pytest.mark.parametrize("content", [b"root:x:0:0::/root:/bin/sh\n" * 9, b"KVMLOG\n\0" * 99, b"K"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """A wrong --ring destroys nothing."""
    path = tmp_path / "ring.statistics"
    path.write_bytes(content)
    with pytest.raises(StatisticsError, match=r"holds something else.*remove it or choose another"):
        Counting(tmp_path)
    with pytest.raises(StatisticsError, match="no kvmlog statistics"):
        StatisticsReader(path)
    assert path.read_bytes() == content


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    """It holds nothing that could be lost."""
    (tmp_path / "ring.statistics").touch()
    with Counting(tmp_path) as counting:
        assert not counting.writer.continued
        assert counting.snapshot().exits == 0


PARTS = ("guest", "reason", "block", "row")
HEADER_DAMAGE = {
    "format_version": "format 7",
    "schema_version": "record schema 7",
    "incompat_flags": "needs features 0x7",
    "file_bytes": "7 bytes are no size",
    **{f"{part}s_offset": "its parts overlap" for part in PARTS},
    **{f"{part}s_capacity": "its parts overlap" for part in PARTS},
}


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("field", HEADER_DAMAGE)
def test_a_damaged_header_is_told_to_readers_and_the_writer_begins_anew(
    tmp_path: Path, field: str
) -> None:
    """Each field that a mapping depends on, and each version."""
    path = tmp_path / "ring.statistics"
    patch(path, offset(field), 7, ffi.sizeof(dict(ffi.typeof(HEADER).fields)[field].type))
    with pytest.raises(StatisticsError, match=f"{HEADER_DAMAGE[field]}.*(restart|upgrade)"):
        StatisticsReader(path)
    with Counting(tmp_path) as counting:
        assert HEADER_DAMAGE[field] in counting.writer.restart_reason
        assert counting.snapshot().exits == 0


DAMAGE = {
    "generation": ("", "generation", 1),
    "sequence of the header": ("", "sequence", 1),
    "sequence of a guest": ("guest", "sequence", 1),
    "sequence of a reason": ("reason", "sequence", 1),
    "sequence of a row": ("row", "sequence", 1),
    "exits": ("", "exits", EXITS + 1),
    "too few guests": ("", "guests_used", 10**6),
    "too few reasons": ("", "reasons_used", 10**6),
    "too few blocks": ("", "blocks_used", 10**6),
    "too few rows": ("", "rows_used", 10**6),
    "a guest's state": ("guest", "state", 9),
    "a reason of no guest": ("reason", "key.guest", 1),
    "a reason of a guest beyond the table": ("reason", "key.guest", 10**6),
    "a reason that is a row": ("reason", "key.kind", lib.KVMLOG_STATISTICS_VCPU),
    "a block beyond the file": ("reason", "blocks", 10**6),
    "a block of two octaves": ("reason", "blocks", 1),
    "a count": ("reason", "sums.count", EXITS - 1),
    "a row of no guest": ("row", "key.guest", 1),
    "a row of a guest beyond the table": ("row", "key.guest", 2**32 - 1),
    "a row that is a reason": ("row", "key.kind", lib.KVMLOG_STATISTICS_REASON),
    "a row of no kind": ("row", "key.kind", 77),
}


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("name", DAMAGE)
def test_what_was_left_unfinished_or_damaged_is_begun_anew(tmp_path: Path, name: str) -> None:
    """As a kill leaves it, or worse: never gone on with; a reader gets rows or a sentence."""
    path = tmp_path / "ring.statistics"
    part, field, value = DAMAGE[name]
    struct = f"struct kvmlog_statistics_{part}" if part else HEADER
    size = 1 if field == "key.kind" else 4
    patch(path, (element(path, part) if part else 0) + offset(field, struct), value, size)
    with StatisticsReader(path) as reader:
        if name == "generation":
            with pytest.raises(StatisticsError, match=r"no copy could be made.*restart the bridge"):
                reader.snapshot()
        else:
            snapshot = reader.snapshot()
            assert snapshot.torn == (name in _TORN)
    with Counting(tmp_path) as counting:
        assert counting.writer.restart_reason == UNFINISHED
        assert counting.snapshot().exits == 0


# The reader leaves it out, or knows that exits are missing in the header.
_TORN = {name for name in DAMAGE if name.startswith("sequence")}


def test_a_guest_that_was_added_when_the_bridge_was_killed_is_there(tmp_path: Path) -> None:
    """Its place was taken, and not yet counted among those in use."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), note(2, 200), exits(1, guest=1))
        capacity = counting.writer.header().guests_capacity
    patch(counting.path, offset("guests_used"), 1)
    with Counting(tmp_path) as counting:
        assert counting.writer.continued
        assert [guest.tgid for guest in counting.writer.guests()] == [100, 200]
        assert counting.writer.header().guests_free == capacity - 2
        counting.forget(1)
        assert counting.writer.header().guests_free == capacity - 1


def test_a_file_that_is_cut_short_under_a_reader_is_a_sentence(tmp_path: Path) -> None:
    """No SIGBUS: its size is looked at before each copy."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(3))
        counting.writer.flush()
    os.truncate(counting.path, 100_000)
    with pytest.raises(StatisticsError, match=r"100000 bytes.*restart the bridge"):
        StatisticsReader(counting.path)
    os.truncate(counting.path, 1 << 20)
    with StatisticsReader(counting.path) as reader:
        os.truncate(counting.path, 100_000)
        with pytest.raises(StatisticsError, match="restart the bridge"):
            reader.snapshot()
        with pytest.raises(StatisticsError, match="restart the bridge"):
            reader.wait_until(0)


def test_sizes_in_the_header_that_change_under_a_reader_are_not_believed(tmp_path: Path) -> None:
    """It knows how large the file is that it has mapped."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), exits(EXITS))
        expected = counting.snapshot().rows(PER_REASON)
        for part in PARTS:
            for value in (0, 1, 2**32 - 1):
                patch(counting.path, offset(f"{part}s_capacity"), value)
                patch(counting.path, offset(f"{part}s_used"), max(value, 1))
                snapshot = counting.reader.snapshot()
                assert snapshot.rows(PER_REASON, guests=list(snapshot.guests)) == expected
        assert snapshot.exits == counted(snapshot)


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    """The sentence says how to get some; a closed reader says that it is closed."""
    with pytest.raises(StatisticsMissingError, match="there are no statistics; start the bridge"):
        StatisticsReader(tmp_path / "ring.statistics")
    with Counting(tmp_path) as counting:
        counting.reader.close()
        with pytest.raises(StatisticsError, match="this reader is closed"):
            counting.reader.snapshot()
    with pytest.raises(StatisticsError, match="not a regular file"):
        StatisticsReader(tmp_path)


@pytest.mark.parametrize("mib", [0, -1, lib.KVMLOG_STATISTICS_MAX_MIB + 1])
def test_a_size_that_cannot_be_is_refused(tmp_path: Path, mib: int) -> None:
    """With the limits."""
    with pytest.raises(StatisticsError, match=f"{mib} MiB of statistics: give 1 to 4096"):
        Counting(tmp_path, mib)
