# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps of the BPF source in plain memory, and in files as the engine maps them: the tests play
the programs, pump and counters are the real ones.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from kvmlog.bridge import wire
from kvmlog.bridge._native import ffi, lib
from kvmlog.bridge.bpf.maps import Maps
from kvmlog.bridge.errors import SourceError
from kvmlog.bridge.pump import Pump
from kvmlog.bridge.ring import RingReader
from kvmlog.bridge.source import SwitchConfig
from kvmlog.bridge.writer import RingWriter
from tests import ring_making as make

CPUS: Final = 3
PART: Final[int] = lib.KVMLOG_BPF_CPU_RECORDS
THREADS: Final[int] = lib.KVMLOG_BPF_THREADS
NO_REENTRY: Final[int] = lib.KVMLOG_F_NO_REENTRY
EINTR: Final[int] = lib.KVMLOG_F_USER_EINTR
FULL: Final[int] = lib.KVMLOG_LOSS_BUFFER_FULL
SLOTS: Final = 1 << 14
# By each of two threads, into a ring that holds them all.
PLAYED: Final = 125_000
PLAYED_SLOTS: Final = 1 << 18
HANG_S: Final = 60


class Programs:
    """The maps, and what the programs of one CPU do to them (shared.h)."""

    def __init__(self, cpus: int = CPUS) -> None:
        self.control = ffi.new("struct kvmlog_bpf_control *")
        self.cpus = ffi.new("struct kvmlog_bpf_cpu[]", cpus)
        self.records = ffi.new("struct kvmlog_record[]", cpus * PART)
        self.slots = ffi.new("struct kvmlog_bpf_slot[]", THREADS)
        self.native: Any = ffi.new(
            "struct kvmlog_bpf_maps *",
            {
                "control": self.control,
                "cpus": self.cpus,
                "records": self.records,
                "slots": self.slots,
                "count": cpus,
            },
        )

    def start_at(self, cpu: int, index: int) -> None:
        """As if that many records had been written and taken before."""
        self.cpus[cpu].head = self.cpus[cpu].tail = index

    def put(self, cpu: int, record: bytes) -> None:
        """Where the next one goes, not yet shown."""
        index = cpu * PART + self.cpus[cpu].head % PART
        ffi.memmove(self.records + index, record, wire.RECORD_BYTES)

    def write(self, cpu: int, *records: bytes) -> None:
        """One after the other; where there is no room it is lost, as in write.c."""
        shared = self.cpus[cpu]
        for record in records:
            if shared.head - shared.tail == PART:
                shared.dropped_full += 1
                shared.lost += 1
                continue
            self.put(cpu, record)
            shared.head += 1

    def exits(self, cpu: int, first: int, count: int) -> None:
        """Exits whose times are first, first + 1, ..."""
        self.write(
            cpu, *(make.exit_bytes(exit_ns=first + number, cpu=cpu) for number in range(count))
        )

    def pending(self) -> list[wire.AnyRecord]:
        """What kvmlog_bpf_pending() finds."""
        records = ffi.new("struct kvmlog_record[]", THREADS)
        count = lib.kvmlog_bpf_pending(self.native, records)
        return wire.unpack(bytes(ffi.buffer(records, count * wire.RECORD_BYTES)))

    def counters(self) -> dict[str, int]:
        """What kvmlog_bpf_counters() says."""
        counters = ffi.new("struct kvmlog_counters *")
        lib.kvmlog_bpf_counters(self.native, counters)
        names = [name for name, _ in ffi.typeof("struct kvmlog_counters").fields]
        return {name: int(getattr(counters, name)) for name in names}


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A ring that holds all parts at once."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as ring_writer:
        yield ring_writer


@pytest.fixture
def programs() -> Programs:
    """Nothing written yet; on."""
    fresh = Programs()
    fresh.control.on = 1
    return fresh


@pytest.fixture
def pump(writer: RingWriter, programs: Programs) -> Iterator[Pump]:
    """A pump on those maps, which does not run."""
    ring_pump = Pump(writer)
    lib.kvmlog_pump_maps(ring_pump.native, programs.native)
    yield ring_pump
    ring_pump.close()


def drain(pump: Pump) -> None:
    """One turn of the pump's loop, here: a stop that was given before ends the run at once."""
    lib.kvmlog_pump_stop(pump.native)
    assert lib.kvmlog_pump_run(pump.native) == 0


def stream(writer: RingWriter) -> list[object]:
    """The ring's records: an exit as its time, a loss as (cpu, lost, total)."""
    with RingReader(writer.path) as reader:
        records = wire.unpack(reader.snapshot().records)
    for record in records:
        assert not isinstance(record, wire.LossRecord) or record.cause == FULL
    return [
        (record.cpu, record.lost, record.total)
        if isinstance(record, wire.LossRecord)
        else record.ns
        for record in records
    ]


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
    record = bytes([lib.KVMLOG_RECORD_EXIT, *range(100, 100 + wire.RECORD_BYTES - 1)])
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


def last_record(writer: RingWriter) -> wire.AnyRecord:
    """The ring's newest."""
    with RingReader(writer.path) as reader:
        return wire.decode(reader.snapshot(count=1).records)


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
    """Behind the part's end too; not the first one's, nor that of the next place."""
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
    """Of half a ring each, so that readers keep the other half; the newest stand there in order."""
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
    """Of each CPU for itself, also where no record waits; none twice."""
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
    """What the kernel itself left out."""
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
    assert isinstance(loss, wire.LossRecord)
    assert loss.config_epoch == 7
    note = ffi.from_buffer("struct kvmlog_record[]", make.switch_bytes(on=1, config_epoch=8))
    lib.kvmlog_pump_append(pump.native, note, 1)
    assert writer.header().config_epoch == 8


def test_exits_are_told_from_other_records(pump: Pump, programs: Programs) -> None:
    """In the pump's statistics, in what programs and what the engine write."""
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
    """What programs write from there on is not looked at."""
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


def test_every_exit_is_in_one_counter() -> None:
    """The sum over all CPUs, and where each of the programs' numbers goes."""
    programs = Programs(2)
    for cpu, factor in ((programs.cpus[0], 1), (programs.cpus[1], 1000)):
        cpu.head, cpu.notes, cpu.taken = 20 * factor, 3 * factor, 25 * factor
        cpu.dropped_full, cpu.dropped_table = 6 * factor, 4 * factor
        cpu.filtered, cpu.sampled, cpu.lost = 7 * factor, 9 * factor, 10 * factor
    counters = programs.counters()
    assert counters == {
        "seen": 45 * 1001,
        "emitted": 17 * 1001,
        "filtered": 7 * 1001,
        "sampled": 9 * 1001,
        "dropped": 10 * 1001,
        "pending": 2 * 1001,
        "dropped_table": 4 * 1001,
        "notes": 3 * 1001,
    }
    parts = ("emitted", "filtered", "sampled", "dropped", "pending")
    assert counters["seen"] == sum(counters[name] for name in parts)


def test_a_note_that_is_counted_and_not_yet_written_makes_no_exit() -> None:
    """guest.c counts it first: a look in between finds one exit too few, never fewer than none."""
    programs = Programs(1)
    programs.cpus[0].notes = 1
    assert programs.counters()["emitted"] == 0
    programs.cpus[0].taken = 2
    programs.cpus[0].head = 2
    assert (programs.counters()["emitted"], programs.counters()["pending"]) == (1, 1)


def occupy(programs: Programs, index: int, **fields: Any) -> None:
    """A slot with an exit under way, of thread 100 + index."""
    record = ffi.new("struct kvmlog_record *")
    exit_ns, flags = fields.pop("exit_ns", 1), fields.pop("flags", 0)
    user_exits, paused_ns = fields.pop("user_exits", 0), fields.pop("paused_ns", 0)
    own = {"exit_ns": exit_ns, "flags": flags, "user_exits": user_exits, "paused_ns": paused_ns}
    ffi.memmove(record, make.exit_bytes(**own, tid=100 + index), wire.RECORD_BYTES)
    values = {"record": record[0], "tid": 100 + index, "pending": 1, "index": index, **fields}
    for name, value in values.items():
        setattr(programs.slots[index], name, value)
    programs.control.slots_used = max(programs.control.slots_used, index + 1)


def test_pending_exits_carry_their_times_up_to_now(programs: Programs) -> None:
    """As a whole record each: no re-entry, time in user space only for who has been there."""
    exit_ns, user_ns = time.monotonic_ns() - 5_000_000, time.monotonic_ns() - 2_000_000
    flags = lib.KVMLOG_F_USER_REASON
    occupy(programs, 0, exit_ns=exit_ns)
    occupy(programs, 3, exit_ns=exit_ns, user_exits=2, user_since_ns=user_ns, flags=flags)
    before = time.monotonic_ns()
    kernel, user = programs.pending()
    after = time.monotonic_ns()
    assert isinstance(kernel, wire.Record)
    assert isinstance(user, wire.Record)
    assert (kernel.tid, kernel.flags, kernel.user_exits) == (100, NO_REENTRY, 0)
    assert before <= exit_ns + kernel.total_ns <= after
    assert kernel.user_ns == 0
    assert (user.tid, user.flags, user.user_exits) == (103, NO_REENTRY | flags, 2)
    assert before <= exit_ns + user.total_ns <= after
    assert before <= user_ns + user.user_ns <= after
    assert not programs.slots[0].record.flags & NO_REENTRY


def test_a_pending_pause_grows_and_one_that_is_over_does_not(programs: Programs) -> None:
    """What earlier pauses of the exit have added up to, and the one under way up to now."""
    user_ns = time.monotonic_ns() - 5_000_000_000
    times = {"exit_ns": user_ns - 1_000, "user_exits": 3, "user_since_ns": user_ns}
    occupy(programs, 0, **times, flags=EINTR, paused_ns=7, paused_since_ns=user_ns + 1_000_000_000)
    occupy(programs, 1, **times, flags=EINTR, paused_ns=7, paused_since_ns=0)
    # A slot may hold what the thread's last exit left.
    occupy(programs, 2, **times, paused_since_ns=user_ns)
    grows, over, never = programs.pending()
    assert isinstance(grows, wire.Record)
    assert isinstance(over, wire.Record)
    assert isinstance(never, wire.Record)
    assert grows.vmm_ns == 1_000_000_000 - 7
    assert (over.paused_ns, never.paused_ns) == (7, 0)


def test_no_pause_is_longer_than_all_time_in_user_space(programs: Programs) -> None:
    """Whatever clocks of two CPUs say."""
    later = time.monotonic_ns() + 3600 * 10**9
    occupy(programs, 0, exit_ns=1, flags=EINTR, user_exits=1, user_since_ns=later, paused_ns=7)
    (record,) = programs.pending()
    assert isinstance(record, wire.Record)
    assert (record.user_ns, record.paused_ns) == (0, 0)


def test_an_exit_that_begins_right_now_has_taken_no_time(programs: Programs) -> None:
    """Its program read the clock after the look did: 0, not the age of the universe."""
    later = time.monotonic_ns() + 3600 * 10**9
    occupy(programs, 0, exit_ns=later, user_exits=1, user_since_ns=later)
    (record,) = programs.pending()
    assert isinstance(record, wire.Record)
    assert (record.total_ns, record.user_ns) == (0, 0)


def test_free_slots_and_those_in_their_guest_are_not_pending(programs: Programs) -> None:
    """Nor those that no thread has ever had."""
    occupy(programs, 0, tid=0)
    occupy(programs, 1, pending=0)
    occupy(programs, 2)
    occupy(programs, 3, tid=0, pending=0)
    occupy(programs, 4)
    programs.control.slots_used = 4
    assert [record.tid for record in programs.pending()] == [102]


def test_threads_that_came_at_once_may_count_past_the_last_slot(programs: Programs) -> None:
    """The count is no index: nothing behind the last slot is read or written."""
    occupy(programs, THREADS - 1)
    programs.control.slots_used = THREADS + 3
    assert [record.tid for record in programs.pending()] == [100 + THREADS - 1]
    lib.kvmlog_bpf_forget(programs.native)
    assert programs.control.slots_used == 0
    assert programs.pending() == []
    assert bytes(ffi.buffer(programs.slots)) == bytes(ffi.sizeof(programs.slots))


def test_forgetting_frees_all_slots(programs: Programs) -> None:
    """With an exit and without, of threads that are there or gone: as at the start; none counts."""
    occupy(programs, 0)
    occupy(programs, 1, pending=0)
    occupy(programs, 2, pending=0, vcpu=0x1000, kvm=0x2000, announced=1, exits=5)
    occupy(programs, 3, tid=0)
    before = programs.counters()
    for _ in range(2):
        lib.kvmlog_bpf_forget(programs.native)
        assert programs.control.slots_used == 0
        assert programs.pending() == []
        assert bytes(ffi.buffer(programs.slots)) == bytes(ffi.sizeof(programs.slots))
        assert programs.counters() == before
        assert [cpu.lost for cpu in programs.cpus] == [0] * CPUS


def play(programs: Programs, cpu: int) -> None:
    """A thread: PLAYED records with their number in three places, none given up for want of room.

    On x86-64 the two stores keep their order, as the program's barrier has it.
    """
    shared, part = programs.cpus[cpu], programs.records + cpu * PART
    for number in range(PLAYED):
        while number - shared.tail == PART:
            time.sleep(0.0005)
        record = part[number % PART]
        record.exit_ns = record.total_ns = record.detail = number
        shared.head = number + 1


def test_programs_and_pump_at_once(tmp_path: Path) -> None:
    """Two CPUs write while the pump takes: every record once, whole, and in the CPU's order."""
    cpus = 2
    programs = Programs(cpus)
    for cpu in range(cpus):
        template = make.exit_bytes(cpu=cpu)
        ffi.memmove(programs.records + cpu * PART, template * PART, PART * wire.RECORD_BYTES)
    programs.control.on = 1
    with RingWriter(str(tmp_path / "large"), PLAYED_SLOTS) as writer:
        pump = Pump(writer)
        lib.kvmlog_pump_maps(pump.native, programs.native)
        pump.start()
        players = [
            threading.Thread(target=play, args=(programs, cpu), daemon=True) for cpu in range(cpus)
        ]
        for player in players:
            player.start()
        for player in players:
            player.join(HANG_S)
            assert not player.is_alive()
        pump.close()
        with RingReader(writer.path) as reader:
            records = reader.snapshot().records
        assert writer.header().head == cpus * PLAYED
    offsets = [
        ffi.offsetof("struct kvmlog_record", name)
        for name in ("exit_ns", "total_ns", "detail", "cpu")
    ]
    came: dict[int, list[int]] = {cpu: [] for cpu in range(cpus)}
    for at in range(0, len(records), wire.RECORD_BYTES):
        first, second, third = (
            struct.unpack_from("=Q", records, at + offset)[0] for offset in offsets[:3]
        )
        assert first == second == third
        came[struct.unpack_from("=H", records, at + offsets[3])[0]].append(first)
    assert came == {cpu: list(range(PLAYED)) for cpu in range(cpus)}


class Files:
    """Maps in files instead of BPF maps, which are mapped the same way; others are missing."""

    def __init__(self) -> None:
        sizes = {
            "kvmlog_control": ffi.sizeof("struct kvmlog_bpf_control"),
            "kvmlog_cpus": CPUS * ffi.sizeof("struct kvmlog_bpf_cpu"),
            "kvmlog_records": CPUS * PART * wire.RECORD_BYTES,
            "kvmlog_slots": THREADS * ffi.sizeof("struct kvmlog_bpf_slot"),
        }
        self.fds = dict.fromkeys(("kvmlog_threads", "kvmlog_free", "kvmlog_guests"), -1)
        self.fds["kvmlog_tgids"] = -1
        for name, size in sizes.items():
            self.fds[name] = os.memfd_create(name)
            os.truncate(self.fds[name], -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        self.maps = Maps(self.fds, CPUS)

    @property
    def native(self) -> Any:
        return self.maps.native

    def mapped(self) -> list[int]:
        """The CPUs whose part is mapped."""
        return [number for number in range(CPUS) if self.native.parts[number] != ffi.NULL]

    def write(self, cpu: int, *records: bytes) -> None:
        """Into the file, as a program does: the engine may only read its parts."""
        for record in records:
            at = (cpu * PART + self.native.cpus[cpu].head % PART) * wire.RECORD_BYTES
            os.pwrite(self.fds["kvmlog_records"], record, at)
            self.native.cpus[cpu].head += 1

    def close(self) -> None:
        """Unmapped, closed."""
        self.maps.close()
        for fd in self.fds.values():
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def files() -> Iterator[Files]:
    """Nothing written yet."""
    made = Files()
    yield made
    made.close()


@pytest.fixture
def file_pump(writer: RingWriter, files: Files) -> Iterator[Pump]:
    """A pump on those, which does not run."""
    ring_pump = Pump(writer)
    lib.kvmlog_pump_maps(ring_pump.native, files.native)
    yield ring_pump
    ring_pump.close()


whole_pages = pytest.mark.skipif(
    PART * wire.RECORD_BYTES % mmap.PAGESIZE != 0,
    reason="pages here are larger than a part: parts are mapped all at once",
)


@whole_pages
def test_a_part_is_mapped_for_a_cpu_that_wrote(
    file_pump: Pump, files: Files, writer: RingWriter
) -> None:
    """For no other, however often the pump looks; not for a loss; each at its own place."""
    assert files.native.records == ffi.NULL
    drain(file_pump)
    files.native.cpus[1].lost = 2
    drain(file_pump)
    assert files.mapped() == []
    files.write(2, make.exit_bytes(exit_ns=20, cpu=2), make.exit_bytes(exit_ns=21, cpu=2))
    drain(file_pump)
    assert files.mapped() == [2]
    at = files.native.parts[2]
    files.write(0, make.exit_bytes(exit_ns=1, cpu=0))
    files.write(2, make.exit_bytes(exit_ns=22, cpu=2))
    drain(file_pump)
    assert files.mapped() == [0, 2]
    assert files.native.parts[2] == at == lib.kvmlog_bpf_part(files.native, 2)
    assert stream(writer) == [(1, 2, 2), 20, 21, 1, 22]


@whole_pages
def test_every_place_of_a_part_that_is_mapped_for_itself(
    file_pump: Pump, files: Files, writer: RingWriter
) -> None:
    """To its last byte, of the last CPU, and around its end."""
    files.native.cpus[CPUS - 1].head = files.native.cpus[CPUS - 1].tail = PART + 7
    files.write(CPUS - 1, *(make.exit_bytes(exit_ns=number) for number in range(PART)))
    drain(file_pump)
    assert stream(writer) == list(range(PART))
    assert file_pump.received(CPUS - 1) == 2 * PART + 7


@whole_pages
def test_a_part_that_cannot_be_mapped_waits(
    file_pump: Pump, files: Files, writer: RingWriter
) -> None:
    """Other CPUs' records come; its own, and what it lost, stay until there is room again."""
    files.write(0, make.exit_bytes(exit_ns=1))
    drain(file_pump)
    files.native.records_fd = -1
    files.write(0, make.exit_bytes(exit_ns=2))
    files.write(1, make.exit_bytes(exit_ns=10), make.exit_bytes(exit_ns=11))
    files.native.cpus[1].lost = 3
    drain(file_pump)
    assert stream(writer) == [1, 2]
    assert (files.mapped(), files.native.cpus[1].tail) == ([0], 0)
    assert file_pump.statistics()["bad_messages"] == 0
    files.native.records_fd = files.fds["kvmlog_records"]
    drain(file_pump)
    assert stream(writer) == [1, 2, 10, 11, (1, 3, 3)]


def test_maps_that_cannot_be_mapped_are_said(files: Files) -> None:
    """Why, and that it goes on; nothing stays mapped."""
    before = Path("/proc/self/maps").read_text(encoding="utf-8").count("memfd:kvmlog_")
    for name in ("kvmlog_control", "kvmlog_cpus", "kvmlog_slots"):
        with pytest.raises(SourceError) as refused:
            Maps({**files.fds, name: -1}, CPUS)
        assert str(refused.value) == (
            f"the BPF maps cannot be mapped ({os.strerror(errno.EBADF)}); "
            "is there memory left? It is tried again"
        )
    after = Path("/proc/self/maps").read_text(encoding="utf-8").count("memfd:kvmlog_")
    assert after == before


def test_what_a_cpu_dropped_is_counted_on_when_switched_on_again(
    file_pump: Pump, files: Files
) -> None:
    """Since the maps were made, for want of room and of slots; what LOSS tells begins at 0."""
    cpu = files.native.cpus[1]
    cpu.head, cpu.dropped_table, cpu.dropped_full, cpu.lost = 9, 3, 4, 7
    for _ in range(2):
        files.maps.begin(file_pump.native)
        status = files.maps.cpus()
        assert [status[n].dropped for n in range(CPUS)] == [0, 7, 0]
        assert [status[n].messages for n in range(CPUS)] == [0, 9, 0]
        assert {one.buffer_bytes for one in status.values()} == {PART * wire.RECORD_BYTES}
        assert [files.native.cpus[n].lost for n in range(CPUS)] == [0] * CPUS
        assert [files.native.cpus[n].on for n in range(CPUS)] == [1] * CPUS
        assert files.native.control.on == 1
        files.maps.end()
        assert [files.native.cpus[n].on for n in range(CPUS)] == [0] * CPUS
        assert files.native.control.on == 0
    files.maps.forget()
    cpu.dropped_full += 1
    assert [files.maps.cpus()[n].dropped for n in range(CPUS)] == [0, 8, 0]


def test_a_configuration_is_written_beside_the_one_that_holds(files: Files) -> None:
    """Which stands untouched until the new one is whole; a lease is that of what holds."""
    control = files.native.control
    for turn in range(1, 4):
        held = bytes(ffi.buffer(control.configs)[:])
        active = control.active
        before = time.monotonic_ns()
        config = SwitchConfig(on=True, one_in=turn, on_ms=30, off_ms=70)
        files.maps.configure(config, epoch=turn, until_ns=10 * turn)
        assert control.active == active ^ 1
        size = ffi.sizeof("struct kvmlog_bpf_config")
        assert (
            ffi.buffer(control.configs)[active * size : (active + 1) * size]
            == (held[active * size : (active + 1) * size])
        )
        fresh = control.configs[control.active]
        assert (fresh.epoch, fresh.one_in, fresh.until_ns, fresh.tgids) == (
            turn,
            turn,
            10 * turn,
            0,
        )
        assert (fresh.open_ns, fresh.period_ns) == (30_000_000, 100_000_000)
        assert before <= fresh.window_ns <= time.monotonic_ns()
        files.maps.lease(5)
        assert fresh.until_ns == 5
        control.on = 1


def test_a_process_that_the_filter_does_not_take_leaves_all_as_it_is(files: Files) -> None:
    """The configuration that holds goes on."""
    files.maps.configure(SwitchConfig(on=True, one_in=4), 1, 0)
    active = files.native.control.active
    with pytest.raises(SourceError, match=r"^process 77 cannot be put into the filter; try again$"):
        files.maps.configure(SwitchConfig(on=True, tgids=(77,)), 2, 0)
    assert files.native.control.active == active
    assert files.native.control.configs[active].one_in == 4
