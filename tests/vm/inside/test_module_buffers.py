# SPDX-License-Identifier: GPL-2.0-or-later
"""The module's table and buffers when they are full, and receivers that are slow."""

from __future__ import annotations

import time
from collections.abc import Callable

from kvmlog.native import lib
from tests.vm.inside import host
from tests.vm.inside.netlink import Control, Receiver
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
    control.switch_off()
    counters = control.status().check_sum()
    assert counters["dropped"] > 0
    receiver.drain()
    assert counters["emitted"] == len(receiver.exits)
    receiver.close()


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
