# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of many exits in one session of tracing: 10^8 in `make soak` (tests/support/scale.py)."""

from __future__ import annotations

import contextlib

from tests.support.scale import EXITS
from tests.vm.inside import host
from tests.vm.inside.netlink import Control, CountingReceiver
from tests.vm.inside.sources import KMOD, only

TURNS, VCPUS = 1_000, 2


@only(KMOD)
def test_counts_stay_equal_to_the_kernels_own(control: Control, histogram: host.Histogram) -> None:
    """Of every reason, to the last one; none is dropped."""
    with contextlib.closing(CountingReceiver(control.family)) as receiver:
        receiver.subscribe()
        control.switch_on()
        while receiver.counted.total() < EXITS:
            guest = host.start_guest(
                *("--turns", str(TURNS), "--vcpus", str(VCPUS), "--kinds", "cpuid,pio,mmio,msr")
            )
            while guest.poll() is None:
                receiver.take_for(0.1)
            assert guest.communicate()[0]
        control.switch_off()
        receiver.drain()
        assert receiver.counted == histogram.counts()
        counters = control.status().check_sum()
        assert counters["seen"] == counters["emitted"] == receiver.counted.total()
