# SPDX-License-Identifier: GPL-2.0-or-later
"""The records that the log engine writes in the name of BPF programs, read back as readers do.

The source itself is one without KVM here: it is switched, leased and asked as any other, and has no
programs. Clocks that are set and CPUs that come and go: tests/vm/inside/test_host_events.py.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.engine.pump import Pump
from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import (
    NO_CPU,
    NO_VCPU,
    AnyRecord,
    ClockRecord,
    CpuRecord,
    SwitchRecord,
    unpack_records,
)
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import SourceGoneError, SwitchConfig
from kvmlog.sources.bpf import source as bpf_source
from kvmlog.sources.bpf.source import BpfSource
from kvmlog.sources.bpf.switch_record import switch_record
from kvmlog.util.errors import SourceError

KOBJECT_UEVENT = 15
KERNEL_GROUP = 1
FIRST_CPU = Path("/sys/devices/system/cpu/cpu0/uevent")
TURNS = 2000


def shared(note: AnyRecord) -> tuple[int, ...]:
    """Return the fields that all of them share: the source's, of no guest, vCPU or flag."""
    return (note.source, note.isa, note.flags, note.guest, note.vcpu, note.config_epoch)


def expected(epoch: int) -> tuple[int, ...]:
    """The same, as it has to be."""
    return (lib.KVMLOG_SOURCE_BPF, lib.KVMLOG_ISA_NONE, 0, 0, NO_VCPU, epoch)


def test_a_switch_tells_the_whole_configuration() -> None:
    """The record has what the module's has, the process that wrote it, and the time."""
    config = SwitchConfig(on=True, tgids=(7, 8, 9), one_in=20, on_ms=30, off_ms=70)
    raw = switch_record(config, True, lib.KVMLOG_SWITCH_COMMAND, 5, 2**63 + 1)
    (note,) = unpack_records(raw)
    assert isinstance(note, SwitchRecord)
    assert shared(note) == expected(5)
    assert (note.on, note.cause) == (1, lib.KVMLOG_SWITCH_COMMAND)
    assert (note.one_in, note.on_ms, note.off_ms, note.filter_tgids) == (20, 30, 70, 3)
    assert (note.tid, note.cpu) == (os.getpid(), NO_CPU)
    assert note.ns == 2**63 + 1


def test_a_switch_off_tells_its_cause() -> None:
    """The configuration that ends with it stands there too."""
    config = SwitchConfig(on=True, one_in=3)
    (note,) = unpack_records(switch_record(config, False, lib.KVMLOG_SWITCH_LEASE, 2, 9))
    assert isinstance(note, SwitchRecord)
    assert (note.ns, note.config_epoch) == (9, 2)
    assert (note.on, note.cause, note.one_in) == (0, lib.KVMLOG_SWITCH_LEASE, 3)
    assert (note.on_ms, note.off_ms, note.filter_tgids) == (0, 0, 0)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A small ring."""
    with RingWriter(str(tmp_path / "ring"), 1024) as ring_writer:
        yield ring_writer


@pytest.fixture
def pump(writer: RingWriter) -> Iterator[Pump]:
    """A pump that takes from maps in which nothing happens, and does not run."""
    control = ffi.new("struct kvmlog_bpf_control *")
    maps: Any = ffi.new("struct kvmlog_bpf_maps *", {"control": control})
    ring_pump = Pump(writer)
    lib.kvmlog_pump_maps(ring_pump.native, maps)
    yield ring_pump
    ring_pump.close()


def turn(pump: Pump) -> None:
    """One turn of the pump's loop: a stop that was given before ends the run at once."""
    lib.kvmlog_pump_stop(pump.native)
    assert lib.kvmlog_pump_run(pump.native) == 0


def notes(writer: RingWriter) -> list[AnyRecord]:
    """All records of the ring."""
    with RingReader(writer.path) as reader:
        return unpack_records(reader.snapshot().records)


def test_switching_on_tells_where_the_clocks_stand(pump: Pump, writer: RingWriter) -> None:
    """One record each time, accurate to a second however slow this machine is."""
    before = time.monotonic_ns()
    lib.kvmlog_pump_watch(pump.native, 4)
    after = time.monotonic_ns()
    (note,) = notes(writer)
    assert isinstance(note, ClockRecord)
    assert shared(note) == expected(4)
    assert (note.event, note.delta_ns) == (lib.KVMLOG_CLOCK_ANCHOR, 0)
    assert (note.tid, note.cpu) == (0, NO_CPU)
    assert before <= note.ns <= after
    real_ns = time.time_ns() - time.monotonic_ns()
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    assert abs(note.realtime_ns - note.ns - real_ns) < 10**9
    assert abs(note.boottime_ns - note.ns - boot_ns) < 10**9
    lib.kvmlog_pump_watch(pump.native, 5)
    assert len(notes(writer)) == 1
    lib.kvmlog_pump_unwatch(pump.native)
    lib.kvmlog_pump_watch(pump.native, 6)
    assert [shared(note) for note in notes(writer)] == [expected(4), expected(6)]
    statistics = pump.statistics()
    assert (statistics["records"], statistics["notes"], statistics["exits"]) == (2, 2, 0)


def test_clocks_that_only_run_are_not_told_of(pump: Pump, writer: RingWriter) -> None:
    """However often they are read: each reading narrows what is known, none contradicts it."""
    lib.kvmlog_pump_watch(pump.native, 1)
    for _ in range(TURNS):
        turn(pump)
    assert len(notes(writer)) == 1


def cpu_notes(writer: RingWriter) -> list[AnyRecord]:
    """All CPU records of the ring."""
    return [note for note in notes(writer) if isinstance(note, CpuRecord)]


@pytest.mark.parametrize("action", ["offline", "online"])
def test_an_event_that_somebody_made_up_is_not_told(
    pump: Pump, writer: RingWriter, action: str
) -> None:
    """The kernel sends it, with a mark, for whoever writes into sysfs: the CPU stays what it is."""
    lib.kvmlog_pump_watch(pump.native, 3)
    try:
        FIRST_CPU.write_text(action, encoding="ascii")
    except OSError as error:
        pytest.skip(f"{FIRST_CPU}: {error.strerror}; run as root, where /sys can be written")
    turn(pump)
    assert cpu_notes(writer) == []


def test_another_process_cannot_pass_for_the_kernel(pump: Pump, writer: RingWriter) -> None:
    """The text of a real event, without that mark, in a datagram of ours: not believed either."""
    lib.kvmlog_pump_watch(pump.native, 3)
    event = b"offline@/devices/system/cpu/cpu0\0ACTION=offline\0"
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, KOBJECT_UEVENT) as sender:
        sender.bind((0, 0))
        try:
            sender.sendto(event, (0, KERNEL_GROUP))
        except PermissionError:
            pytest.skip("sending kernel events takes CAP_NET_ADMIN; run as root")
    turn(pump)
    assert cpu_notes(writer) == []


class ScriptedClock:
    """CLOCK_MONOTONIC as the source reads it; stands until it is moved."""

    def __init__(self) -> None:
        self.ns = 10**15

    def monotonic_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / 1e9

    def move_ms(self, ms: int) -> None:
        """On, by that much."""
        self.ns += ms * 1_000_000


MS = 1_000_000
COMMAND, LEASE, UNLOAD = (
    lib.KVMLOG_SWITCH_COMMAND,
    lib.KVMLOG_SWITCH_LEASE,
    lib.KVMLOG_SWITCH_UNLOAD,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ScriptedClock:
    """Put a scripted clock in place of the source's."""
    scripted = ScriptedClock()
    monkeypatch.setattr(bpf_source, "time", scripted)
    return scripted


@pytest.fixture
def source(
    monkeypatch: pytest.MonkeyPatch,
    clock: ScriptedClock,
    writer: RingWriter,
) -> Iterator[BpfSource]:
    """Open, connected to a pump that does not run, off, at that clock; KVM is not loaded."""
    monkeypatch.setattr(bpf_source, "waiting_for", lambda: "kvm")
    monkeypatch.setattr(bpf_source, "_stamp", lambda: ())
    monkeypatch.setattr(bpf_source, "_check_capabilities", lambda: None)
    ring_pump = Pump(writer)
    bpf = BpfSource()
    bpf.open()
    bpf.pump(ring_pump.native)
    yield bpf
    bpf.close()
    ring_pump.close()


def switches(writer: RingWriter) -> list[tuple[int, int, int, int]]:
    """(on, cause, configuration, time) of each SWITCH record."""
    return [
        (note.on, note.cause, note.config_epoch, note.ns)
        for note in notes(writer)
        if isinstance(note, SwitchRecord)
    ]


def test_a_switch_is_told_once_with_the_time_it_was_made(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter
) -> None:
    """The same again is none; another configuration is, without an off between."""
    begin = clock.ns
    source.switch(SwitchConfig(on=True))
    clock.move_ms(1)
    source.switch(SwitchConfig(on=True))
    source.switch(SwitchConfig(on=True, one_in=5))
    clock.move_ms(1)
    source.switch(SwitchConfig(on=False))
    source.switch(SwitchConfig(on=False))
    assert switches(writer) == [
        (1, COMMAND, 1, begin),
        (1, COMMAND, 2, begin + MS),
        (0, COMMAND, 2, begin + 2 * MS),
    ]
    assert writer.header().config_epoch == 2


def test_a_lease_ends_by_itself_at_its_end(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter
) -> None:
    """Noticed later, told with the time when it was; until then it says what is left."""
    begin = clock.ns
    source.switch(SwitchConfig(on=True, lease_ms=300))
    clock.move_ms(299)
    status = source.status()
    assert (status.on, status.lease_ms) == (True, 1)
    clock.move_ms(5000)
    status = source.status()
    assert (status.on, status.lease_ms, status.epoch) == (False, 0, 1)
    assert source.status() == status
    assert switches(writer) == [(1, COMMAND, 1, begin), (0, LEASE, 1, begin + 300 * MS)]


def test_a_lease_that_is_over_ends_at_that_very_time(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter
) -> None:
    """The time is until_ns, from which on the programs do nothing."""
    begin = clock.ns
    source.switch(SwitchConfig(on=True, lease_ms=300))
    clock.move_ms(300)
    assert not source.status().on
    assert switches(writer)[-1] == (0, LEASE, 1, begin + 300 * MS)


def test_a_lease_is_renewed_without_a_word(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter
) -> None:
    """A renewal before the end writes no record.

    The lease begins anew, longer or shorter, or becomes none.
    """
    begin = clock.ns
    source.switch(SwitchConfig(on=True, lease_ms=300))
    clock.move_ms(200)
    source.switch(SwitchConfig(on=True, lease_ms=500))
    assert source.status().lease_ms == 500
    clock.move_ms(400)
    source.switch(SwitchConfig(on=True, lease_ms=50))
    assert source.status().lease_ms == 50
    source.switch(SwitchConfig(on=True))
    clock.move_ms(10_000)
    assert (source.status().on, source.status().lease_ms) == (True, 0)
    source.switch(SwitchConfig(on=True, lease_ms=7))
    clock.move_ms(8)
    assert not source.status().on
    assert switches(writer) == [(1, COMMAND, 1, begin), (0, LEASE, 1, begin + 10_607 * MS)]


@pytest.mark.parametrize(
    "again", [SwitchConfig(on=True, lease_ms=300), SwitchConfig(on=True, one_in=2)]
)
def test_a_lease_that_is_renewed_after_its_end_is_a_new_switch(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter, again: SwitchConfig
) -> None:
    """Also where nobody asked in between: off at its end, then on, now, as a new configuration."""
    begin = clock.ns
    source.switch(SwitchConfig(on=True, lease_ms=300))
    clock.move_ms(1000)
    source.switch(again)
    status = source.status()
    assert (status.on, status.epoch, status.lease_ms) == (True, 2, again.lease_ms)
    assert switches(writer) == [
        (1, COMMAND, 1, begin),
        (0, LEASE, 1, begin + 300 * MS),
        (1, COMMAND, 2, begin + 1000 * MS),
    ]
    assert [type(note).__name__ for note in notes(writer)] == [
        "ClockRecord",
        "SwitchRecord",
        "SwitchRecord",
        "ClockRecord",
        "SwitchRecord",
    ]


def test_off_after_a_leases_end_is_that_end(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter
) -> None:
    """Once, with its cause and time: the command came too late to be one."""
    begin = clock.ns
    source.switch(SwitchConfig(on=True, lease_ms=300))
    clock.move_ms(1000)
    source.switch(SwitchConfig(on=False))
    assert not source.status().on
    assert switches(writer) == [(1, COMMAND, 1, begin), (0, LEASE, 1, begin + 300 * MS)]


def test_a_configuration_that_is_refused_changes_nothing(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter
) -> None:
    """The one in force goes on, with its lease and number."""
    source.switch(SwitchConfig(on=True, lease_ms=300))
    clock.move_ms(100)
    with pytest.raises(SourceError):
        source.switch(SwitchConfig(on=True, one_in=0))
    status = source.status()
    assert (status.on, status.lease_ms, status.epoch) == (True, 200, 1)
    assert len(switches(writer)) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"one_in": 0}, f"one in 0: give 1 to {lib.KVMLOG_MAX_ONE_IN}"),
        (
            {"one_in": lib.KVMLOG_MAX_ONE_IN + 1},
            f"one in {lib.KVMLOG_MAX_ONE_IN + 1}: give 1 to {lib.KVMLOG_MAX_ONE_IN}",
        ),
        (
            {"on_ms": 5},
            "a sampling window of 5 ms open, 0 ms closed: give both times, or neither",
        ),
        (
            {"off_ms": 5},
            "a sampling window of 0 ms open, 5 ms closed: give both times, or neither",
        ),
        (
            {"on_ms": 1, "off_ms": lib.KVMLOG_MAX_WINDOW_MS + 1},
            f"a sampling window of 1 ms open, {lib.KVMLOG_MAX_WINDOW_MS + 1} ms closed: "
            f"give at most {lib.KVMLOG_MAX_WINDOW_MS} ms",
        ),
        (
            {"lease_ms": lib.KVMLOG_MAX_LEASE_MS + 1},
            f"a lease of {lib.KVMLOG_MAX_LEASE_MS + 1} ms: "
            f"give at most {lib.KVMLOG_MAX_LEASE_MS}, 0 for none",
        ),
        (
            {"lease_ms": -1},
            f"a lease of -1 ms: give at most {lib.KVMLOG_MAX_LEASE_MS}, 0 for none",
        ),
        (
            {"tgids": tuple(range(1, lib.KVMLOG_MAX_TGIDS + 2))},
            f"{lib.KVMLOG_MAX_TGIDS + 1} processes; give at most {lib.KVMLOG_MAX_TGIDS}",
        ),
    ],
)
def test_what_no_configuration_may_be_is_said(
    source: BpfSource, writer: RingWriter, fields: dict[str, Any], words: str
) -> None:
    """The sentence has the value and its limits; the largest of each is accepted."""
    with pytest.raises(SourceError) as refused:
        source.switch(SwitchConfig(on=True, **fields))
    assert str(refused.value) == words
    assert notes(writer) == []
    largest = SwitchConfig(
        on=True,
        tgids=tuple(range(1, lib.KVMLOG_MAX_TGIDS + 1)),
        one_in=lib.KVMLOG_MAX_ONE_IN,
        on_ms=lib.KVMLOG_MAX_WINDOW_MS,
        off_ms=lib.KVMLOG_MAX_WINDOW_MS,
        lease_ms=lib.KVMLOG_MAX_LEASE_MS,
    )
    source.switch(largest)
    assert source.status().on


def test_a_kvm_that_came_ends_what_was_on(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream says so before the source is gone, once."""
    begin = clock.ns
    source.switch(SwitchConfig(on=True))
    clock.move_ms(4)
    monkeypatch.setattr(bpf_source, "waiting_for", lambda: None)
    monkeypatch.setattr(bpf_source, "_stamp", lambda: (1,))
    for _ in range(2):
        with pytest.raises(SourceGoneError) as gone:
            source.status()
        assert str(gone.value) == "KVM was loaded; making the BPF programs for it"
        clock.move_ms(1)
    assert switches(writer) == [(1, COMMAND, 1, begin), (0, UNLOAD, 1, begin + 4 * MS)]


def test_notes_are_counted_from_each_connection_on(
    source: BpfSource, clock: ScriptedClock, writer: RingWriter
) -> None:
    """Each counts what was written in it, whatever the same pump wrote before; nothing twice."""
    reported = []
    seen = 0
    ring_pump = Pump(writer)
    source.close()
    for turns in (1, 3, 2):
        assert source.open().counters["notes"] == 0
        source.pump(ring_pump.native)
        assert source.status().counters["notes"] == 0
        for _ in range(turns):
            source.switch(SwitchConfig(on=True))
            clock.move_ms(1)
            source.switch(SwitchConfig(on=False))
        if turns == 2:
            source.switch(SwitchConfig(on=True))
        reported.append(source.status().counters["notes"])
        written = len(notes(writer))
        assert reported[-1] == written - seen
        seen = written
        source.close()
    # A CLOCK, a SWITCH on and one off each time; the last one without its off.
    assert reported == [3, 9, 8]
    assert sum(reported) == ring_pump.statistics()["notes"] == len(notes(writer))
    ring_pump.close()


def test_closing_while_on_ends_the_watch(source: BpfSource, writer: RingWriter) -> None:
    """The next connection tells anew where the clocks stand."""
    ring_pump = Pump(writer)
    for connection in (1, 2):
        source.close()
        source.open()
        source.pump(ring_pump.native)
        source.switch(SwitchConfig(on=True))
        clocks = [note for note in notes(writer) if isinstance(note, ClockRecord)]
        assert len(clocks) == connection
    source.close()
    ring_pump.close()


def test_programs_that_cannot_be_made_are_tried_again_later(
    source: BpfSource, clock: ScriptedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the system is said as the source's; the compiler is not asked again at once.

    Where it took long, ten times as long passes until it is.
    """
    asked = []
    took_ms = 0

    def fail(_reason: str) -> None:
        asked.append(clock.ns)
        clock.move_ms(took_ms)
        raise OSError(24, "Too many open files")

    source.close()
    monkeypatch.setattr(bpf_source, "waiting_for", lambda: None)
    monkeypatch.setattr(bpf_source, "make_plan", fail)
    words = "the BPF programs cannot be made ([Errno 24] Too many open files); it is tried again"

    def refused() -> None:
        with pytest.raises(SourceError) as error:
            source.open()
        assert str(error.value) == words
        assert not isinstance(error.value, SourceGoneError)

    refused()
    clock.move_ms(int(bpf_source.RETRY_S * 1000) - 1)
    refused()
    assert len(asked) == 1
    clock.move_ms(2)
    took_ms = 5000
    refused()
    assert len(asked) == 2
    clock.move_ms(49_999)
    refused()
    assert len(asked) == 2
    clock.move_ms(2)
    refused()
    assert len(asked) == 3
