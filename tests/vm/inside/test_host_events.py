# SPDX-License-Identifier: GPL-2.0-or-later
"""Clock steps and CPU hotplug while on: survived, and marked in the stream."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import ClockRecord, CpuRecord
from tests.vm.inside import host
from tests.vm.inside.sources import Control, Receiver


def clocks(receiver: Receiver) -> list[ClockRecord]:
    """The CLOCK records so far."""
    return [r for r in receiver.records if isinstance(r, ClockRecord)]


def test_switching_on_anchors_the_clocks(control: Control, receiver: Receiver) -> None:
    """The stream begins with what the clocks showed."""
    before_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
    control.switch_on()
    control.switch_off()
    receiver.drain()
    after_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
    (anchor,) = clocks(receiver)
    assert anchor.event == lib.KVMLOG_CLOCK_ANCHOR
    assert before_ns <= anchor.realtime_ns <= after_ns
    assert anchor.boottime_ns >= anchor.ns


@pytest.mark.parametrize("step_ns", [3_600_000_000_000, -86_400_000_000_000, 1_000_000])
def test_a_clock_step_is_marked(control: Control, receiver: Receiver, step_ns: int) -> None:
    """Wall time jumps, forwards, backwards, by a little; monotonic time does not."""
    guest = host.start_guest("--turns", "0", "--kinds", "pio", "--pause-ms", "5")
    begin_ns = time.monotonic_ns()
    control.switch_on()
    receiver.take_for(0.1)
    try:
        now_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        time.clock_settime_ns(time.CLOCK_REALTIME, now_ns + step_ns)
        receiver.take_for(0.3)
    finally:
        now_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        time.clock_settime_ns(time.CLOCK_REALTIME, now_ns - step_ns)
    receiver.take_for(0.3)
    control.switch_off()
    end_ns = time.monotonic_ns()
    guest.terminate()
    guest.communicate(timeout=host.HANG_S)
    receiver.drain()
    anchor, there, back = clocks(receiver)
    assert (there.event, back.event) == (lib.KVMLOG_CLOCK_STEP,) * 2
    # What passed between reading the clock and setting it belongs to the step.
    for clock, wanted_ns in ((there, step_ns), (back, -step_ns)):
        assert abs(clock.delta_ns - wanted_ns) < 500_000_000
        assert (clock.delta_ns > 0) == (wanted_ns > 0) or abs(wanted_ns) < 500_000_000
    moved_ns = (there.realtime_ns - there.ns) - (anchor.realtime_ns - anchor.ns)
    assert moved_ns == there.delta_ns
    assert receiver.exits
    assert all(begin_ns < record.exit_ns < end_ns for record in receiver.exits)
    control.status().check_sum()


def test_cpu_hotplug_is_survived_and_marked(
    control: Control, receiver: Receiver, histogram: host.Histogram, cpu1: Path
) -> None:
    """CPU 1 goes and comes while vCPUs run; no exit is lost."""
    control.switch_on()
    guest = host.start_guest("--turns", "0", "--vcpus", "3", "--kinds", "pio", "--pause-ms", "1")
    times = host.repeats(3)
    for _ in range(times):
        receiver.take_for(0.2)
        cpu1.write_text("0")
        receiver.take_for(0.2)
        cpu1.write_text("1")
    receiver.take_for(0.5)
    guest.terminate()
    guest.communicate(timeout=host.HANG_S)
    control.switch_off()
    receiver.drain()
    changes = [r for r in receiver.records if isinstance(r, CpuRecord)]
    changes.sort(key=lambda r: r.ns)
    assert [(r.cpu, r.online) for r in changes] == [(1, 0), (1, 1)] * times
    assert receiver.reasons() == histogram.counts()
    counters = control.status().check_sum()
    assert counters["dropped"] == 0
    assert {r.cpu for r in receiver.exits} == {0, 1}


def test_switched_on_with_a_cpu_offline(control: Control, receiver: Receiver, cpu1: Path) -> None:
    """A CPU that comes online later is traced like the others."""
    cpu1.write_text("0")
    control.switch_on()
    cpu1.write_text("1")
    host.run("taskset", "-c", "1", str(host.GUEST), "--turns", "101", "--kinds", "cpuid")
    control.switch_off()
    receiver.drain()
    assert sum(r.cpu == 1 for r in receiver.exits) > 100
    assert control.status().check_sum()["dropped"] == 0
