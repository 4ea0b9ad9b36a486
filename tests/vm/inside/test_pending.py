# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits without a re-entry, tables and buffers that are full, receivers that are slow."""

from __future__ import annotations

import time
from collections.abc import Callable

from kvmlog.bridge import wire
from kvmlog.bridge._native import lib
from tests.vm.inside import host
from tests.vm.inside.netlink import Control, Receiver

SVM_IOIO = 0x7B
LAST_PORT = 0x501  # of the OUT that a guest ends with, and holds at


def wait_for_pending(control: Control, count: int) -> list[wire.Record]:
    """The pending exits, once `count` vCPUs hold in user space."""
    deadline = time.monotonic() + 20
    while True:
        found = [r for r in control.pending() if r.user_exits and r.detail == LAST_PORT]
        if len(found) == count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_vcpu_that_is_stuck_is_listed(control: Control, receiver: Receiver) -> None:
    """In exit since; when its thread ends it is written without a re-entry."""
    control.switch_on()
    guest = host.start_guest("--turns", "11", "--vcpus", "2", "--kinds", "pio", "--hold")
    first = wait_for_pending(control, 2)
    time.sleep(0.2)
    second = wait_for_pending(control, 2)
    counters = control.status().check_sum()
    assert counters["pending"] == len(second) == 2
    for before, after in zip(first, second, strict=True):
        assert before.exit_ns == after.exit_ns
        assert after.total_ns >= before.total_ns + 200_000_000
        assert after.flags & lib.KVMLOG_F_NO_REENTRY
        assert (after.reason, after.detail) == (SVM_IOIO, LAST_PORT)

    guest.terminate()
    guest.communicate(timeout=30)
    assert control.pending() == []
    receiver.drain()
    ended = [r for r in receiver.exits if r.flags & lib.KVMLOG_F_NO_REENTRY]
    assert {r.exit_ns for r in ended} == {r.exit_ns for r in second}
    assert control.status().check_sum()["pending"] == 0


def test_switching_off_writes_what_is_pending(
    control: Control, receiver: Receiver, histogram: host.Histogram
) -> None:
    """Each exit is in the stream, with or without its re-entry."""
    control.switch_on()
    guest = host.start_guest("--turns", "11", "--vcpus", "3", "--kinds", "pio", "--hold")
    wait_for_pending(control, 3)
    control.switch_off()
    receiver.drain()
    assert receiver.reasons() == histogram.counts()
    assert sum(bool(r.flags & lib.KVMLOG_F_NO_REENTRY) for r in receiver.exits) == 3
    assert control.status().check_sum()["pending"] == 0
    guest.terminate()
    guest.communicate(timeout=30)


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
    guest.communicate(timeout=60)
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
    """With its queue full the module keeps batches, and delivers them when there is room."""
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
    control.switch_off()
    counters = control.status().check_sum()
    assert counters["dropped"] > 0
    receiver.drain()
    assert counters["emitted"] == len(receiver.exits)
    receiver.close()


def test_batches_come_full_and_part_full(control: Control, receiver: Receiver) -> None:
    """A full buffer is one message; a part-full one comes within the flush interval."""
    control.switch_on()
    host.guest("--turns", "4001", "--kinds", "cpuid,pio")
    receiver.drain()
    assert receiver.largest_batch == lib.KVMLOG_BATCH_RECORDS
    before = len(receiver.exits)
    host.guest("--turns", "1", "--kinds", "cpuid")
    receiver.drain()
    assert len(receiver.exits) > before


def test_vms_that_come_and_go_have_numbers_of_their_own(
    control: Control, receiver: Receiver
) -> None:
    """Processes one after the other: each a guest, no slot is left behind."""
    control.switch_on()
    reports = [host.guest("--turns", "3", "--kinds", "cpuid") for _ in range(12)]
    receiver.drain()
    guests = [r for r in receiver.records if isinstance(r, wire.GuestRecord)]
    assert [g.tgid for g in guests] == [report["pid"] for report in reports]
    assert [g.guest for g in guests] == list(range(1, 13))
    assert len({r.guest for r in receiver.exits}) == 12
    assert control.status().counters["pending"] == 0
