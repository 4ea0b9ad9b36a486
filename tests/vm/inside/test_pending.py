# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits without a re-entry, and guests that come and go."""

from __future__ import annotations

import time

from kvmlog.native import lib
from kvmlog.ring.records import GuestRecord, Record
from tests.vm.inside import host
from tests.vm.inside.sources import Control, Receiver

SVM_IOIO = 0x7B
LAST_PORT = 0x501  # of the OUT that a guest ends with, and holds at


def wait_for_pending(control: Control, count: int) -> list[Record]:
    """The pending exits, once `count` vCPUs hold in user space."""
    deadline = time.monotonic() + host.HANG_S
    while True:
        found = [r for r in control.pending() if r.user_exits and r.detail == LAST_PORT]
        if len(found) == count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_vcpu_that_is_stuck_is_listed(control: Control, receiver: Receiver) -> None:
    """A stuck vCPU is listed as in exit since.

    When its thread ends it is written without a re-entry.
    """
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
    guest.communicate(timeout=host.HANG_S)
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
    guest.communicate(timeout=host.HANG_S)


def test_vms_that_come_and_go_have_numbers_of_their_own(
    control: Control, receiver: Receiver
) -> None:
    """Processes one after the other: each a guest, no slot is left behind."""
    control.switch_on()
    reports = [host.guest("--turns", "3", "--kinds", "cpuid") for _ in range(12)]
    receiver.drain()
    guests = [r for r in receiver.records if isinstance(r, GuestRecord)]
    assert [g.tgid for g in guests] == [report["pid"] for report in reports]
    assert [g.guest for g in guests] == list(range(1, 13))
    assert len({r.guest for r in receiver.exits}) == 12
    assert control.status().counters["pending"] == 0
