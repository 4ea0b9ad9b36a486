# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge that does not come to read: what is lost is counted, and told at its place."""

from __future__ import annotations

import signal

from kvmlog.native import lib
from kvmlog.ring.records import LossRecord
from tests.vm.inside import host, ring_bytes
from tests.vm.inside.netlink import Control
from tests.vm.inside.processes import Bridge, ended, folder, load, until
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)


def test_what_a_sleeping_bridge_missed(control: Control, histogram: host.Histogram) -> None:
    """Stopped until the module had to drop: module, ring and kernel agree on every exit."""
    with folder() as place:
        bridge = Bridge(place, "--slots", str(1 << 19))
        with ended(bridge):
            bridge.ready().client.switch(on=True)
            bridge.process.send_signal(signal.SIGSTOP)
            with load("--vcpus", "2", "--kinds", "cpuid"):
                until(lambda: control.status().counters["dropped"] > 1000, "drops")
                bridge.process.send_signal(signal.SIGCONT)
                woken = bridge.status()["counters"]["emitted"]
                until(lambda: bridge.status()["counters"]["emitted"] > woken, "exits again")
            bridge.client.switch(on=False)
            counters = bridge.status()["counters"]
            info = bridge.info()
            records = bridge.records()
    assert counters["seen"] == histogram.counts().total()
    assert counters["pending"] == 0
    assert counters == {**control.status().check_sum()}
    losses = [note for note in ring_bytes.notes(records) if isinstance(note, LossRecord)]
    assert {loss.cause for loss in losses} == {lib.KVMLOG_LOSS_BUFFER_FULL}
    assert sum(loss.lost for loss in losses) == counters["dropped"] == info.lost_records
    assert len(ring_bytes.exits(records)) == counters["emitted"]
    assert (info.lost_messages, info.bad_messages) == (0, 0)
    assert info.head == counters["emitted"] + counters["notes"] + len(losses)
