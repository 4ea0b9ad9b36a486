# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching on and off: that off is off, and each time in order."""

from __future__ import annotations

import time

from kvmlog.native import lib
from kvmlog.ring.records import SwitchRecord
from tests.vm.inside import host
from tests.vm.inside.processes import probes, until
from tests.vm.inside.sources import Control, Receiver


def test_probes_are_there_while_on_and_only_then(control: Control, receiver: Receiver) -> None:
    """The tracepoints themselves say so, not the module."""
    before = probes()
    assert before["kvm_exit"] == 0
    control.switch_on()
    assert probes() == {name: count + 1 for name, count in before.items()}
    control.switch_off()
    assert probes() == before


def test_off_nothing_more_is_written(control: Control, receiver: Receiver) -> None:
    """A guest that runs on leaves no trace after off."""
    guest = host.start_guest("--turns", "0", "--kinds", "pio", "--pause-ms", "2")
    try:
        control.switch_on()
        time.sleep(0.5)
        control.switch_off()
        receiver.drain()
        seen, records = control.status().counters["seen"], len(receiver.records)
        assert seen > 0
        time.sleep(0.5)
        receiver.drain()
        assert (control.status().counters["seen"], len(receiver.records)) == (seen, records)
    finally:
        guest.terminate()
        guest.communicate(timeout=host.HANG_S)
    last = receiver.records[-1]
    assert isinstance(last, SwitchRecord)
    assert (last.on, last.cause) == (0, lib.KVMLOG_SWITCH_COMMAND)


def test_on_off_many_times_under_load(control: Control, receiver: Receiver) -> None:
    """Every switching finds exits in all states of completion; the sum holds each time."""
    guest = host.start_guest("--turns", "0", "--vcpus", "3", "--kinds", "cpuid,pio,mmio")
    try:
        for _ in range(host.repeats(10)):
            control.switch_on()
            receiver.take_for(0.05)
            control.switch_off()
            assert control.status().check_sum()["pending"] == 0
        receiver.drain()
    finally:
        guest.terminate()
        guest.communicate(timeout=host.HANG_S)
    assert control.status().counters["emitted"] == len(receiver.exits)


def test_a_lease_ends_by_itself(control: Control, receiver: Receiver) -> None:
    """Off when it is over, unless it was renewed; withdrawn it never ends."""
    guest = host.start_guest("--turns", "0", "--kinds", "pio", "--pause-ms", "2")
    try:
        control.switch_on(lease_ms=1_000)
        control.switch_on(lease_ms=600)
        until(lambda: not control.status().on, "the lease's end")
        assert probes()["kvm_exit"] == 0
        receiver.drain()
        (on, off) = receiver.of_type(SwitchRecord)
        assert isinstance(on, SwitchRecord)
        assert isinstance(off, SwitchRecord)
        assert (on.on, off.on, off.cause) == (1, 0, lib.KVMLOG_SWITCH_LEASE)
        assert receiver.exits
        assert control.status().check_sum()["pending"] == 0

        control.switch_on(lease_ms=300)
        control.switch_on()
        time.sleep(1)
        assert control.status().on
        control.switch_off()
    finally:
        guest.terminate()
        guest.communicate(timeout=host.HANG_S)
