# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of getKvmLog, character by character, and against its definition in plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvmlog.exits.reasons.names import basic_reason
from kvmlog.native import lib
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import Record, unpack_records
from kvmlog.ring.writer import RingWriter
from tests.support.clocks import set_clocks
from tests.support.records import cpu_bytes, exit_bytes

MS = 1_000_000
S = 1_000 * MS
MINUTE = 60 * S
RECORDS = 1_024
LOOKED_AT = 4 * RECORDS
SLOTS = 2 * LOOKED_AT


def definition(ring: RingReader, clocks: Clocks) -> str:
    """The text, as docs/rpc.md has it.

    The newest exits by time of those among the newest LOOKED_AT records, or of those further back
    when these hold less than RECORDS; of the same time the later arrival is the newer one.
    """
    arrived = enumerate(unpack_records(ring.snapshot().records))
    exits: list[tuple[int, int, int]] = []
    for looked_at, (at, record) in enumerate(reversed(list(arrived))):
        if looked_at >= LOOKED_AT and len(exits) >= RECORDS:
            break
        if isinstance(record, Record):
            exits.append((record.exit_ns, at, basic_reason(record.isa, record.reason)))
    text = ""
    for ns, _, reason in sorted(exits, reverse=True)[:RECORDS]:
        wall = clocks.at(ns)
        seconds, ms = divmod(wall.realtime_ns // MS + 1_000 * wall.utc_offset_s, 1_000)
        minutes, second = divmod(seconds, 60)
        text += f"{min(reason, 0xFF):02X}{minutes % 60:02d}{second:02d}{ms:03d}"
    return text


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A ring whose clocks show the same as CLOCK_MONOTONIC, in UTC."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as ring_writer:
        set_clocks(ring_writer, (0, 0, 0))
        yield ring_writer


def append(writer: RingWriter, *exits: tuple[int, int], isa: int = lib.KVMLOG_ISA_SVM) -> None:
    """Exits of (exit_ns, reason), in this order."""
    writer.append(b"".join(exit_bytes(exit_ns=ns, reason=reason, isa=isa) for ns, reason in exits))


def text_of(writer: RingWriter) -> str:
    """The text that a new reader gets."""
    with RingReader(writer.path) as reader:
        return reader.legacy_text()


def test_without_exits_it_is_empty(writer: RingWriter) -> None:
    """Other records are no exits."""
    assert text_of(writer) == ""
    writer.append(cpu_bytes(online=1))
    assert text_of(writer) == ""


def test_one_record(writer: RingWriter) -> None:
    """Reason in hex; minute, second, millisecond in decimal."""
    append(writer, (12 * MINUTE + 34 * S + 56 * MS, 0x7B))
    assert text_of(writer) == "7B1234056"


def test_reason_above_fe_is_ff(writer: RingWriter) -> None:
    """FE is the last that is written as it is."""
    append(writer, (1, 0xFE), (2, 0xFF), (3, 0x400), (4, 0xFFFFFFFF))
    assert text_of(writer) == "FF0000000" * 3 + "FE0000000"


def test_flags_of_vmx_are_left_out(writer: RingWriter) -> None:
    """The basic reason is the low half."""
    append(writer, (1, 0x8000_0021), isa=lib.KVMLOG_ISA_VMX)
    assert text_of(writer) == "210000000"


def test_time_is_cut_at_the_end_of_an_hour(writer: RingWriter) -> None:
    """59:59.9999 stays; one step on it is 00:00.000."""
    append(writer, (60 * MINUTE - 1, 1), (60 * MINUTE, 2))
    assert text_of(writer) == "020000000" + "015959999"


@pytest.mark.parametrize(("offset_s", "minute"), [(19_800, 30), (-5_400, 30), (3_600, 0)])
def test_local_time(writer: RingWriter, offset_s: int, minute: int) -> None:
    """A zone of a half hour moves the minute, east and west."""
    set_clocks(writer, (0, 0, offset_s))
    append(writer, (0, 1))
    assert text_of(writer) == f"01{minute:02d}00000"


def test_wall_time_is_monotonic_plus_difference(writer: RingWriter) -> None:
    """The exit's own clock is not the wall's."""
    set_clocks(writer, (0, 3 * MINUTE + 2 * S, 0))
    append(writer, (5 * MS, 1))
    assert text_of(writer) == "010302005"


def test_a_zone_of_half_an_hours_summer_time_leaves_the_minutes_before(writer: RingWriter) -> None:
    """Minute 59 stays 59 when summer time ends (Lord Howe), and the clock's step moves no exit."""
    append(writer, (59 * MINUTE, 1))
    before = text_of(writer)
    assert before == "015900000"
    set_clocks(writer, (60 * MINUTE, 0, -1_800), (70 * MINUTE, 7 * S, -1_800), keep=True)
    assert text_of(writer) == before
    append(writer, (61 * MINUTE, 2), (71 * MINUTE, 3))
    assert text_of(writer) == "034107000" + "023100000" + before


def test_newest_first_by_time_not_by_arrival(writer: RingWriter) -> None:
    """Records of different CPUs arrive out of order."""
    append(writer, (2 * S, 2), (3 * S, 3), (1 * S, 1))
    assert text_of(writer) == "030003000020002000010001000"


def test_same_time_later_arrival_first(writer: RingWriter) -> None:
    """A tie is broken by the order of arrival."""
    append(writer, (1, 0x0A), (1, 0x0B))
    assert text_of(writer)[:2] == "0B"


def test_at_most_1024_and_the_newest_of_them(writer: RingWriter) -> None:
    """The 476 oldest of 1,500 are left out, wherever they arrived."""
    append(writer, *((n * MS, n % 200) for n in reversed(range(1_500))))
    text = text_of(writer)
    assert len(text) == 1_024 * 9
    assert text[:9] == f"{1_499 % 200:02X}0001499"
    assert text[-9:] == f"{476 % 200:02X}0000476"


def test_exits_behind_many_other_records_are_found(writer: RingWriter) -> None:
    """It looks further back than LOOKED_AT until it has as many as it shows."""
    append(writer, *((n * MS, 1) for n in range(1_100)))
    writer.append(cpu_bytes(online=1) * LOOKED_AT)
    text = text_of(writer)
    assert len(text) == RECORDS * 9
    assert text[-7:] == "0000076"


def test_a_ring_that_has_not_moved_gives_the_same_text(writer: RingWriter) -> None:
    """The very same; and a new one for a new record, a new pair of clocks, a new ring."""
    append(writer, (1, 1), (2, 2))
    with RingReader(writer.path) as reader:
        first = reader.legacy_text()
        assert reader.legacy_text() is first
        append(writer, (3, 3))
        second = reader.legacy_text()
        assert second == "030000000" + first
        set_clocks(writer, (0, 0, 60))
        assert reader.legacy_text() == "030100000" + "020100000" + "010100000"
        writer.close()
        with RingWriter(writer.path, 2 * SLOTS) as other:
            set_clocks(other, (0, 0, 0))
            append(other, (1, 9), (2, 9), (3, 9))
            assert reader.legacy_text() == "090000000" * 3


def pairs() -> st.SearchStrategy[list[tuple[int, int, int]]]:
    """Clocks that are set and zones that change, within the times of the exits."""
    return st.lists(
        st.tuples(
            st.integers(0, 2**40),
            st.integers(2**40, 2**61),
            st.integers(-86_399, 86_399),
        ),
        min_size=1,
        max_size=6,
    )


def stretches() -> st.SearchStrategy[list[tuple[int, int, int, int, bool]]]:
    """Runs of records: how many, time of the first, of each after it, reason, exits or others."""
    return st.lists(
        st.tuples(
            st.integers(1, 3_000),
            st.integers(0, 2**40),
            st.sampled_from((0, 1, 999, MS, S, MINUTE)),
            st.integers(0, 2**32 - 1),
            st.booleans(),
        ),
        max_size=6,
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pairs(), stretches(), st.sampled_from((1_024, 2_048, SLOTS)))
def test_any_ring_has_the_text_of_the_definition(
    tmp_path: Path,
    clocks: list[tuple[int, int, int]],
    runs: list[tuple[int, int, int, int, bool]],
    slots: int,
) -> None:
    """Rings that have wrapped and that have not, with clocks that were set, and late records."""
    path = tmp_path / "ring"
    path.unlink(missing_ok=True)
    with RingWriter(str(path), slots) as writer:
        set_clocks(writer, *sorted(clocks))
        for count, ns, step_ns, reason, are_exits in runs:
            make = exit_bytes if are_exits else cpu_bytes
            isa = lib.KVMLOG_ISA_VMX if reason % 2 else lib.KVMLOG_ISA_SVM
            fields = {"reason": reason, "isa": isa} if are_exits else {}
            when = "exit_ns" if are_exits else "ns"
            writer.append(
                b"".join(make(**{when: ns + n * step_ns}, **fields) for n in range(count))
            )
        with RingReader(path) as reader:
            text = reader.legacy_text()
            assert text == definition(reader, reader.clocks())
            assert len(text) % 9 == 0
