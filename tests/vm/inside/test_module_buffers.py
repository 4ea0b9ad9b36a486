# SPDX-License-Identifier: GPL-2.0-or-later
"""The module's table and buffers when they are full, and receivers that are slow."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import ClockRecord, CpuRecord, SwitchRecord
from tests.vm.inside import host
from tests.vm.inside.netlink import Control, Receiver, RefusedError
from tests.vm.inside.sources import KMOD, only
from tests.vm.inside.test_pending import wait_for_pending

pytestmark = only(KMOD)


def test_a_full_table_is_counted(module: Callable[..., None], histogram: host.Histogram) -> None:
    """More vCPUs than slots: those without are counted as dropped, and said in batches."""
    module("max_vcpus=16")
    control = Control()
    receiver = Receiver(control.family).subscribe()
    control.switch_on()
    slots = control.status().number(lib.KVMLOG_A_PENDING_SLOTS)
    assert slots == 32
    guest = host.start_guest("--turns", "23", "--vcpus", "40", "--kinds", "cpuid", "--hold")
    wait_for_pending(control, slots)  # and eight more that have none
    guest.terminate()
    guest.communicate(timeout=host.HANG_S)
    control.switch_off()
    receiver.drain()
    counters = control.status().check_sum()
    assert counters["seen"] == histogram.counts().total()
    assert counters["dropped"] == counters["dropped_table"] > 0
    assert counters["emitted"] == len(receiver.exits) > 0
    assert sum(receiver.dropped.values()) == counters["dropped"]
    receiver.close()
    control.close()


def test_a_slow_receiver_holds_batches_back_and_loses_none(control: Control) -> None:
    """The module keeps batches while the queue is full, and delivers them when there is room."""
    receiver = Receiver(control.family, buffer_bytes=40_000).subscribe()
    control.switch_on()
    host.guest("--turns", "450", "--kinds", "cpuid,pio")
    time.sleep(0.3)
    status = control.status()
    assert status.counters["dropped"] == 0
    delivered = sum(cpu[lib.KVMLOG_CPU_A_MESSAGES] for cpu in status.cpus)
    receiver.drain()
    assert receiver.batches > delivered
    control.switch_off()
    receiver.drain()
    counters = control.status().check_sum()
    assert counters["emitted"] == len(receiver.exits) == counters["seen"]
    receiver.close()


def test_full_buffers_drop_and_tell(control: Control, histogram: host.Histogram) -> None:
    """Only when its own buffers are full too does the module drop, counted per CPU."""
    receiver = Receiver(control.family, buffer_bytes=40_000).subscribe()
    control.switch_on()
    host.guest("--turns", "3001", "--vcpus", "2", "--kinds", "cpuid,pio")
    counters = control.status().check_sum()
    assert counters["dropped"] > 0
    receiver.drain()
    host.guest("--turns", "5", "--kinds", "cpuid")
    receiver.drain()
    control.switch_off()
    receiver.drain()
    status = control.status()
    counters = status.check_sum()
    assert counters["seen"] == histogram.counts().total()
    assert counters["emitted"] == len(receiver.exits)
    assert counters["dropped"] == sum(receiver.dropped.values())
    assert counters["dropped"] == sum(cpu[lib.KVMLOG_CPU_A_DROPPED] for cpu in status.cpus)
    receiver.close()


def test_a_receiver_that_never_reads_does_not_block_off(control: Control) -> None:
    """Off gives a dead receiver a bounded time; what it did not take is counted as dropped."""
    receiver = Receiver(control.family, buffer_bytes=4_000).subscribe()
    control.switch_on()
    host.guest("--turns", "2001", "--kinds", "cpuid,pio")
    control.configure(False)
    assert control.status().stopping
    assert not control.status().on
    with pytest.raises(RefusedError, match="being switched off") as refused:
        control.switch_on()
    assert refused.value.code == errno.EINPROGRESS
    control.wait_until_stopped()
    counters = control.status().check_sum()
    assert counters["dropped"] > 0
    receiver.drain()
    assert counters["emitted"] == len(receiver.exits)
    control.switch_on()
    receiver.close()


def test_a_receiver_that_ends_ends_switching_off(control: Control) -> None:
    """Nobody is left to wait for."""
    receiver = Receiver(control.family, buffer_bytes=4_000).subscribe()
    control.switch_on()
    host.guest("--turns", "2001", "--kinds", "cpuid,pio")
    control.configure(False)
    receiver.close()
    # Subscribing waits for the end of the session before.
    other = Receiver(control.family).subscribe()
    assert not control.status().stopping
    control.switch_on()
    host.guest("--turns", "5", "--kinds", "cpuid")
    control.switch_off()
    other.drain()
    assert 5 <= len(other.exits) < 2001
    control.status().check_sum()
    other.close()


def test_a_slow_receiver_gets_some_of_each_cpu(control: Control) -> None:
    """CPUs take turns: the first one does not starve those behind it."""
    receiver = Receiver(control.family, buffer_bytes=4_000).subscribe()
    control.switch_on()
    kinds = ("--turns", "0", "--kinds", "cpuid")
    guests = [host.start_guest(*kinds, before=("taskset", "-c", cpu)) for cpu in ("0", "1")]
    try:
        wait_for_losses(control, 0, 1)
        before = dict(receiver.next_sequence)
        for _ in range(24):
            receiver.take_one()
    finally:
        for guest in guests:
            guest.terminate()
            guest.communicate(timeout=60)
    taken = [receiver.next_sequence[cpu] - before.get(cpu, 0) for cpu in (0, 1)]
    assert min(taken) >= 8, taken
    receiver.close()


def test_losses_of_a_cpu_without_batches_are_reported(module: Callable[..., None]) -> None:
    """All exits of CPU 1 find no room in the table: that is told while tracing is on."""
    module("max_vcpus=16")
    control = Control()
    receiver = Receiver(control.family).subscribe()
    control.switch_on()
    slots = control.status().number(lib.KVMLOG_A_PENDING_SLOTS) or 0
    pinned = ("--vcpus", str(slots), "--kinds", "cpuid", "--hold", "--turns", "1")
    holding = host.start_guest(*pinned, before=("taskset", "-c", "0"))
    wait_for_pending(control, slots)
    losing = host.start_guest(
        "--turns", "7", "--kinds", "cpuid", "--hold", before=("taskset", "-c", "1")
    )
    deadline = time.monotonic() + 30
    while not receiver.dropped.get(1):
        assert time.monotonic() < deadline
        receiver.take_for(0.1)
    assert not any(record.cpu == 1 for record in receiver.exits)
    for guest in (holding, losing):
        guest.terminate()
        guest.communicate(timeout=60)
    control.switch_off()
    receiver.drain()
    assert sum(receiver.dropped.values()) == control.status().check_sum()["dropped"]
    receiver.close()
    control.close()


def test_notes_find_room_in_full_buffers(control: Control, cpu1: Path) -> None:
    """A switch, a clock step and hotplug are told even where exits are dropped."""
    receiver = Receiver(control.family, buffer_bytes=4_000).subscribe()
    control.switch_on()
    guest = host.start_guest("--turns", "0", "--vcpus", "2", "--kinds", "cpuid")
    try:
        wait_for_losses(control, 0, 1)
        control.switch_on(one_in=2)
        cpu1.write_text("0")
        time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + 10**9)
        cpu1.write_text("1")
        time.sleep(0.2)  # several flush intervals, in which nobody reads
    finally:
        time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() - 10**9)
        guest.terminate()
        guest.communicate(timeout=60)
    receiver.drain()
    control.switch_off()
    receiver.drain()
    assert control.status().notes_lost == 0
    switches = [r for r in receiver.records if isinstance(r, SwitchRecord) and r.on]
    assert [r.one_in for r in sorted(switches, key=lambda r: r.ns)] == [1, 2]
    changes = [r for r in receiver.records if isinstance(r, CpuRecord)]
    assert [r.online for r in sorted(changes, key=lambda r: r.ns)] == [0, 1]
    steps = [r for r in receiver.records if isinstance(r, ClockRecord)]
    assert [r.event for r in steps].count(lib.KVMLOG_CLOCK_STEP) == 2
    receiver.close()


def test_notes_without_room_are_counted(control: Control) -> None:
    """Beyond what is kept for them they are lost, and the status says how many."""
    receiver = Receiver(control.family, buffer_bytes=4_000).subscribe()
    control.switch_on()
    guest = host.start_guest("--turns", "0", "--vcpus", "2", "--kinds", "cpuid")
    switches = 101
    try:
        wait_for_losses(control, 0, 1)
        for number in range(switches):
            control.switch_on(one_in=number + 2)
    finally:
        guest.terminate()
        guest.communicate(timeout=60)
    receiver.drain()
    control.switch_off()
    receiver.drain()
    lost = control.status().notes_lost
    assert lost
    told = [r for r in receiver.records if isinstance(r, SwitchRecord)]
    assert len(told) + lost == switches + 2
    receiver.close()


def wait_for_losses(control: Control, *cpus: int) -> None:
    """Waits until the buffers of these CPUs are full and exits were dropped on them."""
    deadline = time.monotonic() + 60
    while True:
        dropped = {
            cpu[lib.KVMLOG_CPU_A_ID]: cpu[lib.KVMLOG_CPU_A_DROPPED] for cpu in control.status().cpus
        }
        if all(dropped.get(cpu) for cpu in cpus):
            return
        assert time.monotonic() < deadline, dropped
        time.sleep(0.05)


def test_batches_come_full_and_part_full(module: Callable[..., None]) -> None:
    """A full buffer is one message; a part-full one comes within the flush interval.

    An interval of a second is enough to fill a buffer on any machine.
    """
    module("flush_interval_ms=1000")
    control = Control()
    receiver = Receiver(control.family).subscribe()
    control.switch_on()
    host.guest("--turns", "4001", "--kinds", "cpuid,pio")
    receiver.drain(quiet_s=2)
    assert receiver.largest_batch == lib.KVMLOG_BATCH_RECORDS
    before = len(receiver.exits)
    host.guest("--turns", "1", "--kinds", "cpuid")
    receiver.drain(quiet_s=2)
    assert len(receiver.exits) > before
    receiver.close()
    control.close()
