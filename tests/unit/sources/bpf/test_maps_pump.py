# SPDX-License-Identifier: GPL-2.0-or-later
"""Input of the pump from the BPF source's maps: records, and losses for want of room."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from kvmlog.engine.pump import Pump
from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import RECORD_BYTES, LossRecord
from kvmlog.ring.writer import RingWriter
from tests.support import records as make
from tests.support.bpf_maps import CPUS, PART, Programs, drain, last_record, stream

SLOTS: Final = 1 << 14


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A ring that holds all parts at once."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as ring_writer:
        yield ring_writer


@pytest.fixture
def programs() -> Programs:
    """Nothing written yet."""
    return Programs()


@pytest.fixture
def pump(writer: RingWriter, programs: Programs) -> Iterator[Pump]:
    """A pump on those maps, which does not run."""
    ring_pump = Pump(writer)
    lib.kvmlog_pump_maps(ring_pump.native, programs.native)
    yield ring_pump
    ring_pump.close()


def test_records_come_in_order_and_the_tail_follows(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """CPU by CPU, each from its own part; what was taken is not taken again."""
    programs.exits(0, 0, 3)
    programs.exits(2, 20, 2)
    drain(pump)
    assert stream(writer) == [0, 1, 2, 20, 21]
    drain(pump)
    assert stream(writer) == [0, 1, 2, 20, 21]
    programs.exits(1, 10, 1)
    programs.exits(0, 3, 1)
    drain(pump)
    assert stream(writer) == [0, 1, 2, 20, 21, 3, 10]
    assert [cpu.tail for cpu in programs.cpus] == [4, 1, 2]
    assert [pump.received(number) for number in (0, 1, 2, CPUS)] == [4, 1, 2, 0]
    statistics = pump.statistics()
    assert (statistics["records"], statistics["exits"]) == (7, 7)


def test_every_byte_of_a_record_arrives(pump: Pump, programs: Programs, writer: RingWriter) -> None:
    """Each byte another one."""
    record = bytes([lib.KVMLOG_RECORD_EXIT, *range(100, 100 + RECORD_BYTES - 1)])
    programs.write(1, record)
    drain(pump)
    with RingReader(writer.path) as reader:
        assert reader.snapshot().records == record


@pytest.mark.parametrize("begin", [PART - 5, 7 * PART - 1, 2**32 - 3])
def test_a_part_wraps_around(
    pump: Pump, programs: Programs, writer: RingWriter, begin: int
) -> None:
    """Records before and behind its end; head and tail only ever grow."""
    programs.start_at(1, begin)
    programs.exits(1, 0, 12)
    drain(pump)
    assert stream(writer) == list(range(12))
    assert pump.received(1) == begin + 12


def test_a_full_part_is_taken_whole_and_what_found_no_room_is_told(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """4096 records and not one more; the loss stands behind them, with the last one's time."""
    programs.start_at(1, 1000)
    programs.exits(1, 500, PART + 3)
    drain(pump)
    assert stream(writer) == [*range(500, 500 + PART), (1, 3, 3)]
    assert last_record(writer).ns == 500 + PART - 1
    assert writer.header().lost_records == 3
    assert pump.statistics()["lost_records"] == 3
    programs.exits(1, 9000, 1)
    drain(pump)
    assert stream(writer)[-3:] == [500 + PART - 1, (1, 3, 3), 9000]


@pytest.mark.parametrize("begin", [PART - 3, 5 * PART - 1, 2**32 - 1])
def test_a_loss_has_the_last_ones_time_wherever_that_stands(
    pump: Pump, programs: Programs, writer: RingWriter, begin: int
) -> None:
    """The time is the last record's, also across the part's end, not that of another slot."""
    programs.start_at(2, begin)
    programs.exits(2, 700, 3)
    programs.cpus[2].lost = 1
    drain(pump)
    assert stream(writer) == [700, 701, 702, (2, 1, 1)]
    assert last_record(writer).ns == 702


def test_a_loss_without_a_record_has_the_time_of_the_look(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """Not that of one which was taken before."""
    programs.exits(0, 500, 1)
    drain(pump)
    programs.cpus[0].lost = 1
    before = time.monotonic_ns()
    drain(pump)
    assert stream(writer) == [500, (0, 1, 1)]
    assert before <= last_record(writer).ns <= time.monotonic_ns()


def test_more_than_the_ring_holds_comes_in_rounds(tmp_path: Path, programs: Programs) -> None:
    """Rounds of half a ring leave readers the other half; the newest records are there in order."""
    with RingWriter(str(tmp_path / "small"), 1024) as small:
        small_pump = Pump(small)
        lib.kvmlog_pump_maps(small_pump.native, programs.native)
        programs.exits(0, 0, PART)
        drain(small_pump)
        assert stream(small) == list(range(PART - 1024, PART))
        assert small.header().head == PART
        assert small_pump.statistics()["messages"] == PART // 512
        programs.exits(0, PART, PART + 2)
        drain(small_pump)
        assert stream(small) == [*range(2 * PART - 1023, 2 * PART), (0, 2, 2)]
        assert last_record(small).ns == 2 * PART - 1
        assert small.header().head == 2 * PART + 1
        small_pump.close()


def test_growing_losses_are_told_each_by_what_is_new(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """Losses are told per CPU, also where no record waits; none twice."""
    programs.cpus[0].lost = 4
    programs.exits(0, 0, 1)
    programs.cpus[2].lost = 1
    drain(pump)
    assert stream(writer)[:2] == [0, (0, 4, 4)]
    assert stream(writer)[2:] == [(2, 1, 1)]
    programs.exits(0, 1, 1)
    drain(pump)
    programs.cpus[0].lost = 10
    programs.exits(0, 2, 1)
    drain(pump)
    drain(pump)
    assert stream(writer)[3:] == [1, 2, (0, 6, 10)]
    assert writer.header().lost_records == 11


def test_losses_that_no_look_saw_are_told_at_settling(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """Once: the pump looks at the maps at each heartbeat, also while tracing is off."""
    programs.cpus[1].lost = 2
    drain(pump)
    programs.cpus[1].lost = 7
    pump.settle(1, messages=0, dropped=7)
    drain(pump)
    assert stream(writer) == [(1, 2, 2), (1, 5, 7)]
    assert writer.header().lost_records == 7


def test_a_new_switching_on_counts_losses_from_0(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """Also more of them than the last time, before the first look."""
    programs.cpus[1].lost = 2
    drain(pump)
    pump.settle(1, messages=0, dropped=2)
    lib.kvmlog_pump_restart(pump.native)
    assert [cpu.lost for cpu in programs.cpus] == [0] * CPUS
    drain(pump)
    programs.cpus[1].lost = 3
    drain(pump)
    assert stream(writer) == [(1, 2, 2), (1, 3, 3)]


def test_settling_knows_no_gap_in_numbers(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """Records are not numbered: what is missing is in `lost`, and the tail stays what it is."""
    programs.exits(1, 0, 2)
    drain(pump)
    pump.settle(1, messages=9, dropped=0)
    assert stream(writer) == [0, 1]
    assert writer.header().lost_messages == 0
    assert pump.received(1) == 2


def test_exits_lost_on_no_cpu_in_particular(pump: Pump, writer: RingWriter) -> None:
    """Losses in the kernel itself belong to no CPU."""
    lib.kvmlog_pump_lost(pump.native, 3, 8)
    assert stream(writer) == [(lib.KVMLOG_NO_CPU, 3, 8)]
    assert writer.header().lost_records == 3


def test_the_configuration_in_the_header_is_that_of_the_last_switch(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """Not of exits, which may come later than the switch that ended their configuration."""
    programs.write(0, make.exit_bytes(config_epoch=3), make.exit_bytes(config_epoch=4))
    drain(pump)
    assert writer.header().config_epoch == 0
    note = ffi.from_buffer("struct kvmlog_record[]", make.switch_bytes(on=1, config_epoch=7))
    lib.kvmlog_pump_append(pump.native, note, 1)
    assert writer.header().config_epoch == 7
    programs.write(1, make.exit_bytes(config_epoch=6), make.exit_bytes(config_epoch=8))
    programs.cpus[1].lost = 1
    drain(pump)
    assert writer.header().config_epoch == 7
    loss = last_record(writer)
    assert isinstance(loss, LossRecord)
    assert loss.config_epoch == 7
    note = ffi.from_buffer("struct kvmlog_record[]", make.switch_bytes(on=1, config_epoch=8))
    lib.kvmlog_pump_append(pump.native, note, 1)
    assert writer.header().config_epoch == 8


def test_exits_are_told_from_other_records(pump: Pump, programs: Programs) -> None:
    """The pump's statistics tell them apart in what programs and the engine write."""
    programs.write(0, make.guest_bytes(b"vmm"), make.exit_bytes(), make.exit_bytes())
    drain(pump)
    left = make.exit_bytes() + make.switch_bytes(on=0)
    lib.kvmlog_pump_append(pump.native, ffi.from_buffer("struct kvmlog_record[]", left), 2)
    statistics = pump.statistics()
    assert (statistics["records"], statistics["exits"]) == (5, 3)


@pytest.mark.parametrize(("tail", "head"), [(0, PART + 1), (10, 2**63), (10, 9)])
def test_a_head_that_no_program_wrote_is_refused(
    pump: Pump, programs: Programs, writer: RingWriter, tail: int, head: int
) -> None:
    """Too far ahead, or behind: counted, nothing copied; that CPU and others go on from there."""
    programs.start_at(0, tail)
    programs.cpus[0].head = head
    programs.exits(1, 10, 2)
    drain(pump)
    assert stream(writer) == [10, 11]
    assert pump.statistics()["bad_messages"] == 1
    assert programs.cpus[0].tail == head
    programs.exits(0, 0, 1)
    drain(pump)
    assert stream(writer) == [10, 11, 0]
    assert pump.statistics()["bad_messages"] == writer.header().bad_messages == 1


def test_the_pump_leaves_the_maps_for_another_input(
    pump: Pump, programs: Programs, writer: RingWriter
) -> None:
    """Records that programs write afterwards are not taken."""
    programs.exits(0, 0, 1)
    drain(pump)
    lib.kvmlog_pump_socket(pump.native, -1, 0)
    programs.exits(0, 1, 1)
    drain(pump)
    assert stream(writer) == [0]
    assert pump.received(0) == 0


def test_a_stop_takes_what_waits(pump: Pump, programs: Programs, writer: RingWriter) -> None:
    """Also where the maps say that tracing is off, and the pump would not look by itself."""
    programs.control.on = 0
    pump.start()
    programs.exits(0, 0, 3)
    pump.stop()
    assert stream(writer) == [0, 1, 2]
