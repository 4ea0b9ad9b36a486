# SPDX-License-Identifier: GPL-2.0-or-later
"""The records that the log engine writes in the name of BPF programs, read back as readers do.

Clocks that are set and CPUs that come and go: tests/vm/inside/test_host_events.py.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.bridge import wire
from kvmlog.bridge._native import ffi, lib
from kvmlog.bridge.bpf.notes import switch_note
from kvmlog.bridge.pump import Pump
from kvmlog.bridge.ring import RingReader
from kvmlog.bridge.source import SwitchConfig
from kvmlog.bridge.writer import RingWriter

KOBJECT_UEVENT = 15
KERNEL_GROUP = 1
FIRST_CPU = Path("/sys/devices/system/cpu/cpu0/uevent")
TURNS = 2000


def shared(note: wire.AnyRecord) -> tuple[int, ...]:
    """What all of them say: whose it is, and of no guest, vCPU or flag."""
    return (note.source, note.isa, note.flags, note.guest, note.vcpu, note.config_epoch)


def expected(epoch: int) -> tuple[int, ...]:
    """The same, as it has to be."""
    return (lib.KVMLOG_SOURCE_BPF, lib.KVMLOG_ISA_NONE, 0, 0, wire.NO_VCPU, epoch)


def test_a_switch_tells_the_whole_configuration() -> None:
    """As the module's does; who wrote it, and when."""
    config = SwitchConfig(on=True, tgids=(7, 8, 9), one_in=20, on_ms=30, off_ms=70)
    before = time.monotonic_ns()
    raw = switch_note(config, True, lib.KVMLOG_SWITCH_COMMAND, 5)
    after = time.monotonic_ns()
    (note,) = wire.unpack(raw)
    assert isinstance(note, wire.SwitchRecord)
    assert shared(note) == expected(5)
    assert (note.on, note.cause) == (1, lib.KVMLOG_SWITCH_COMMAND)
    assert (note.one_in, note.on_ms, note.off_ms, note.filter_tgids) == (20, 30, 70, 3)
    assert (note.tid, note.cpu) == (os.getpid(), wire.NO_CPU)
    assert before <= note.ns <= after


def test_a_switch_off_tells_its_cause() -> None:
    """The configuration that ends with it stands there too."""
    config = SwitchConfig(on=True, one_in=3)
    (note,) = wire.unpack(switch_note(config, False, lib.KVMLOG_SWITCH_LEASE, 2))
    assert isinstance(note, wire.SwitchRecord)
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


def notes(writer: RingWriter) -> list[wire.AnyRecord]:
    """All records of the ring."""
    with RingReader(writer.path) as reader:
        return wire.unpack(reader.snapshot().records)


def test_switching_on_tells_where_the_clocks_stand(pump: Pump, writer: RingWriter) -> None:
    """Once for each time; not a second off, however slow this machine is."""
    before = time.monotonic_ns()
    lib.kvmlog_pump_watch(pump.native, 4)
    after = time.monotonic_ns()
    (note,) = notes(writer)
    assert isinstance(note, wire.ClockRecord)
    assert shared(note) == expected(4)
    assert (note.event, note.delta_ns) == (lib.KVMLOG_CLOCK_ANCHOR, 0)
    assert (note.tid, note.cpu) == (0, wire.NO_CPU)
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


def cpu_notes(writer: RingWriter) -> list[wire.AnyRecord]:
    """All CPU records of the ring."""
    return [note for note in notes(writer) if isinstance(note, wire.CpuRecord)]


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
