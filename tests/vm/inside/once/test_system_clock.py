# SPDX-License-Identifier: GPL-2.0-or-later
"""Wall time that is set while guests run: exits keep the time of day that held then."""

from __future__ import annotations

import time

import pytest

from kvmlog.native import lib
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.reader import host_clocks
from kvmlog.ring.records import ClockRecord, Record, unpack_records
from tests.vm.inside import host
from tests.vm.inside.processes import ZONE_S, Bridge, Rpc

LEGACY_CHARACTERS = 9


def run_guest(bridge: Bridge) -> tuple[list[Record], int, int]:
    """The exits of a short guest, and CLOCK_REALTIME before and after it."""
    begin = bridge.info().head
    before_ns = time.time_ns()
    host.guest("--turns", "211", "--kinds", "cpuid")
    after_ns = time.time_ns()
    bridge.client.switch(False)
    found = [one for one in unpack_records(bridge.records(begin)) if isinstance(one, Record)]
    bridge.client.switch(True)
    assert len(found) >= 211
    return found, before_ns, after_ns


def times(exits: list[Record], clocks: Clocks) -> list[int]:
    """Their times of day, in ns; all in the bridge's zone."""
    walls = [clocks.at(one.exit_ns) for one in exits]
    assert {wall.utc_offset_s for wall in walls} == {ZONE_S}
    return [wall.realtime_ns for wall in walls]


@pytest.mark.parametrize("step_ns", [3_600_000_000_000, -8_640_000_000_000, 50_000_000])
def test_a_clock_that_is_set_moves_no_exit(bridge: Bridge, rpc: Rpc, step_ns: int) -> None:
    """Exits before it and after it have the times that the clock showed then, to all readers."""
    with rpc.client() as kvm:
        bridge.client.switch(True)
        first, *bounds = run_guest(bridge)
        before = times(first, host_clocks(str(bridge.ring)))
        text = kvm.getKvmLog()
        assert bounds[0] <= min(before) <= max(before) <= bounds[1]
        begin_ns = time.monotonic_ns()
        time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + step_ns)
        try:
            second, *bounds = run_guest(bridge)
            clocks = host_clocks(str(bridge.ring))
            assert times(first, clocks) == before
            after = times(second, clocks)
            assert bounds[0] <= min(after) <= max(after) <= bounds[1]
            old = kvm.getKvmLog()[len(second) * LEGACY_CHARACTERS :]
            assert old
            assert text.startswith(old)
        finally:
            time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() - step_ns)
        bridge.client.switch(False)
        assert times(first, host_clocks(str(bridge.ring))) == before
        assert times(second, host_clocks(str(bridge.ring))) == after
    steps = [
        one
        for one in unpack_records(bridge.records())
        if isinstance(one, ClockRecord)
        and one.event == lib.KVMLOG_CLOCK_STEP
        and one.ns >= begin_ns
    ]
    assert [one.delta_ns > 0 for one in steps[:1]] == [step_ns > 0]
