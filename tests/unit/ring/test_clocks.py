# SPDX-License-Identifier: GPL-2.0-or-later
"""A record's time of day: that of the clocks and the zone that held then, whenever it is read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.engine.pump import Pump
from kvmlog.native import ffi, lib
from kvmlog.ring import clocks
from kvmlog.ring.clocks import ClockPair, Clocks, WallTime
from kvmlog.ring.reader import RingReader, host_clocks
from kvmlog.ring.records import ClockRecord, unpack_records
from kvmlog.ring.serialize import info_object
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from tests.native import lib as testing
from tests.support.clocks import set_clocks
from tests.support.records import exit_bytes

SLOTS = 1_024
S = 10**9
MOST = lib.KVMLOG_RING_CLOCKS
# Half an hour of summer time, in the south: from 1 October's to 1 April's Sunday at 02:00.
LORD_HOWE = "LHST-10:30LHDT-11,M10.1.0,M4.1.0"
LORD_HOWE_ENDS_S = 1_775_314_800  # 2026-04-05T02:00:00+11:00


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A small ring, which knows the host's clocks."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as ring_writer:
        yield ring_writer


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set TZ, the zone of this process."""
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def clocks_of(writer: RingWriter) -> Clocks:
    """What a reader reads now."""
    with RingReader(writer.path) as reader:
        return reader.clocks()


def test_a_record_keeps_its_time_of_day_when_the_clock_is_set(writer: RingWriter) -> None:
    """Set forward, back, and the zone changed: times before stay, times after are the new ones."""
    set_clocks(writer, (0, 1_000 * S, 3_600))
    before = clocks_of(writer)
    assert before.at(5 * S) == (1_005 * S, 3_600)
    set_clocks(writer, (6 * S, 4_600 * S, 3_600), (7 * S, 900 * S, 7_200), keep=True)
    after = clocks_of(writer)
    assert [after.at(ns) for ns in (0, 5 * S, 6 * S - 1)] == [
        before.at(ns) for ns in (0, 5 * S, 6 * S - 1)
    ]
    assert after.at(6 * S) == (4_606 * S, 3_600)
    assert after.at(7 * S) == (907 * S, 7_200)


def test_a_heartbeat_moves_no_time(writer: RingWriter) -> None:
    """However often the clocks are read, a record's nanosecond stays; no pair is added."""
    first = clocks_of(writer)
    pump = Pump(writer)
    for _ in range(200):
        lib.kvmlog_pump_stop(pump.native)
        assert lib.kvmlog_pump_run(pump.native) == 0
        lib.kvmlog_writer_heartbeat(writer.native)
    pump.close()
    assert clocks_of(writer).pairs == first.pairs
    header = writer.header()
    assert header.realtime_ns - header.monotonic_ns == first.pairs[0].realtime_offset_ns
    assert abs(time.time_ns() - first.at(time.monotonic_ns()).realtime_ns) < S


def test_a_restarted_writer_goes_on_with_the_same_clocks(writer: RingWriter) -> None:
    """Where nobody set them in between, and even where that was written down to the second."""
    first = clocks_of(writer)
    writer.close()
    with RingWriter(writer.path, SLOTS) as again:
        assert again.continued
        assert clocks_of(again).pairs == first.pairs


def test_a_clock_that_was_set_while_no_bridge_ran(writer: RingWriter) -> None:
    """The old records keep the clocks of their time; new ones get the host's."""
    set_clocks(writer, (0, 77 * S, 3_600))
    lib.kvmlog_writer_free(writer.native)
    writer.native = ffi.NULL
    writer.close()
    begin = time.monotonic_ns()
    with RingWriter(writer.path, SLOTS) as again:
        assert again.continued
        found = clocks_of(again)
    assert found.pairs[0].realtime_offset_ns == 77 * S
    assert found.at(begin) == (begin + 77 * S, 3_600)
    now = time.monotonic_ns()
    assert abs(found.at(now).realtime_ns - time.time_ns()) < S


def test_a_ring_of_a_writer_that_kept_no_pairs(writer: RingWriter) -> None:
    """The clocks of its last heartbeat hold for what it wrote, for readers and a new writer."""
    header = writer.header()
    testing.kvmlog_test_forget_clocks(writer.native)
    pair = ClockPair(0, header.realtime_ns - header.monotonic_ns, header.utc_offset_s)
    assert clocks_of(writer).pairs == (pair,)
    lib.kvmlog_writer_free(writer.native)
    writer.native = ffi.NULL
    writer.close()
    with RingWriter(writer.path, SLOTS) as again:
        assert clocks_of(again).pairs == (pair,)


def test_a_ring_of_another_boot_is_replaced(writer: RingWriter) -> None:
    """Its times and those of this boot have no order, and no clock in common."""
    writer.append(exit_bytes(exit_ns=2**62))
    writer.close()
    path = Path(writer.path)
    raw = bytearray(path.read_bytes())
    at = ffi.offsetof("struct kvmlog_ring_header", "boot_id")
    raw[at] ^= 1
    path.write_bytes(raw)
    with RingWriter(writer.path, SLOTS) as again:
        assert not again.continued
        with RingReader(again.path) as reader:
            assert reader.snapshot().records == b""


def test_the_oldest_pair_makes_room(writer: RingWriter) -> None:
    """A clock that is set again and again: the newest times are right, the oldest have a time."""
    set_clocks(writer, *((n * S, n * 1_000 * S, 0) for n in range(MOST + 10)))
    found = clocks_of(writer)
    assert [pair.from_ns for pair in found.pairs] == [n * S for n in range(10, MOST + 10)]
    assert found.at((MOST + 9) * S).realtime_ns == (MOST + 9) * 1_001 * S
    assert found.at(0) == (10_000 * S, 0)


def test_summer_time_is_known_before_it_begins(writer: RingWriter) -> None:
    """The pair is there before the first record that it holds for, to the nanosecond."""
    testing.kvmlog_test_forget_clocks(writer.native)
    testing.kvmlog_test_clock(writer.native, 5, 100 * S, 3_600, 7_200, 107)
    found = clocks_of(writer)
    assert found.at(7 * S - 1) == (107 * S - 1, 3_600)
    assert found.at(7 * S) == (107 * S, 7_200)
    # Once more, and when it is there: nothing changes.
    testing.kvmlog_test_clock(writer.native, 6 * S, 100 * S, 3_600, 7_200, 107)
    testing.kvmlog_test_clock(writer.native, 8 * S, 100 * S, 7_200, 7_200, 0)
    assert clocks_of(writer).pairs == found.pairs


def test_a_clock_that_is_set_back_takes_summer_time_back(writer: RingWriter) -> None:
    """It has not begun, and will later."""
    testing.kvmlog_test_forget_clocks(writer.native)
    testing.kvmlog_test_clock(writer.native, 5, 100 * S, 3_600, 7_200, 107)
    testing.kvmlog_test_clock(writer.native, 6 * S, 50 * S, 3_600, 3_600, 0)
    found = clocks_of(writer)
    assert found.pairs == ((5, 100 * S, 3_600), (6 * S, 50 * S, 3_600))


@pytest.mark.parametrize(
    ("now_s", "offset_s", "next_offset_s", "next_from_s"),
    [
        (LORD_HOWE_ENDS_S - 60, 39_600, 39_600, 0),
        (LORD_HOWE_ENDS_S - 3, 39_600, 37_800, LORD_HOWE_ENDS_S),
        (LORD_HOWE_ENDS_S - 1, 39_600, 37_800, LORD_HOWE_ENDS_S),
        (LORD_HOWE_ENDS_S, 37_800, 37_800, 0),
    ],
)
def test_a_zone_tells_what_comes_next(
    zone: pytest.MonkeyPatch, now_s: int, offset_s: int, next_offset_s: int, next_from_s: int
) -> None:
    """A summer time of half an hour, before and after its end."""
    zone.setenv("TZ", LORD_HOWE)
    from_s, later_s = ffi.new("__u64 *"), ffi.new("__s32 *")
    assert testing.kvmlog_test_zone(now_s * S + S - 1, from_s, later_s) == offset_s
    assert (later_s[0], from_s[0]) == (next_offset_s, next_from_s)


def test_the_bridges_zone_is_the_rings(zone: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reader's own zone is no matter; without a ring it is what there is."""
    zone.setenv("TZ", "HERE-5:45")
    with RingWriter(str(tmp_path / "ring"), SLOTS) as writer:
        zone.setenv("TZ", "THERE+3")
        time.tzset()
        now_ns = time.time_ns()
        assert host_clocks(writer.path).of(now_ns) == (now_ns, 20_700)
        assert host_clocks(str(tmp_path / "none")).of(now_ns) == (now_ns, -10_800)


def test_a_zone_that_changes_while_the_bridge_runs(
    zone: pytest.MonkeyPatch, writer: RingWriter
) -> None:
    """The heartbeat that sees it begins it; what was before keeps its zone."""
    before = clocks_of(writer)
    zone.setenv("TZ", "HERE-5:45")
    lib.kvmlog_writer_heartbeat(writer.native)
    found = clocks_of(writer)
    assert found.pairs[:-1] == before.pairs
    assert found.pairs[-1].utc_offset_s == 20_700
    assert found.pairs[-1].realtime_offset_ns == before.pairs[-1].realtime_offset_ns


def test_what_began_before_the_zone_changed_keeps_its_zone(
    zone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When the ring was created, when its statistics began."""
    zone.setenv("TZ", "HERE-5:45")
    with RingWriter(str(tmp_path / "ring"), SLOTS) as writer, RingReader(writer.path) as reader:
        statistics = StatisticsWriter(str(tmp_path / "ring.statistics"), writer, 1)
        before = (info_object(reader.info())["created"], statistics.describe()["since"])
        assert before[0].endswith("+05:45")
        assert before[1].endswith("+05:45")
        zone.setenv("TZ", "HERE-5:15")
        lib.kvmlog_writer_heartbeat(writer.native)
        now = info_object(reader.info())
        assert now["heartbeat"].endswith("+05:15")
        assert (now["created"], statistics.describe()["since"]) == before
        statistics.close()


@pytest.mark.parametrize("on", [False, True])
def test_a_zone_that_changes_is_told_in_the_stream(
    zone: pytest.MonkeyPatch, writer: RingWriter, on: bool
) -> None:
    """The engine tells it, whatever the source is, once, while tracing is on."""
    writer.switched(on, lib.KVMLOG_SOURCE_KMOD)
    before_s = writer.header().utc_offset_s
    zone.setenv("TZ", "HERE-5:45")
    for _ in range(2):
        # Its first turn begins with a heartbeat; a stop that was given before ends it.
        pump = Pump(writer)
        lib.kvmlog_pump_stop(pump.native)
        assert lib.kvmlog_pump_run(pump.native) == 0
        pump.close()
    with RingReader(writer.path) as reader:
        told = unpack_records(reader.snapshot().records)
        known = reader.clocks()
    if not on:
        assert told == []
        return
    (note,) = told
    assert isinstance(note, ClockRecord)
    assert (note.source, note.event) == (lib.KVMLOG_SOURCE_ENGINE, lib.KVMLOG_CLOCK_ZONE)
    assert note.delta_ns == (20_700 - before_s) * S
    assert known.at(note.ns) == (note.realtime_ns, 20_700)


def test_the_zone_of_a_time_of_day() -> None:
    """The one that held then; of a time that came twice, the later."""
    known = Clocks([ClockPair(10, 100, 1), ClockPair(20, 200, 2), ClockPair(30, 150, 3)])
    times = {0: 1, 110: 1, 219: 3, 220: 3, 180: 3, 179: 1, 10**18: 3}
    assert {ns: known.of(ns) for ns in times} == {
        ns: WallTime(ns, offset_s) for ns, offset_s in times.items()
    }


@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=MOST, unique=True),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    st.integers(0, 2**32 - 1),
)
def test_c_and_python_find_the_same_pair(starts: list[int], asked: list[int], more: int) -> None:
    """They agree on any header, even one with more pairs than there is room for."""
    header = ffi.new("struct kvmlog_ring_header *")
    header.monotonic_ns, header.realtime_ns, header.utc_offset_s = 5, 1_000, 60
    header.clock_count = len(starts) if len(starts) < MOST else max(more, MOST)
    for at, ns in enumerate(sorted(starts)):
        header.clocks[at] = {"from_ns": ns, "realtime_offset_ns": at, "utc_offset_s": -at}
    found = clocks.of_header(header)
    for ns in [*asked, *starts]:
        pair = testing.kvmlog_clocks_at(header, ns)
        assert found.at(ns) == (ns + pair.realtime_offset_ns, pair.utc_offset_s)
        assert pair.from_ns <= ns or not starts or pair.from_ns == min(starts)
