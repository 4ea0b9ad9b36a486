# SPDX-License-Identifier: GPL-2.0-or-later
"""Ends of a bridge, and that there is only one: SIGTERM and SIGKILL while on, a second bridge."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import RECORD_BYTES, LossRecord, decode_record
from kvmlog.util.errors import SwitchError
from tests.support.scale import KILLS
from tests.vm.inside import host, ring_bytes
from tests.vm.inside.netlink import Control
from tests.vm.inside.processes import (
    Bridge,
    check_losses,
    check_sum,
    ended,
    folder,
    kvmlog,
    load,
    probes,
    until,
)
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)

MEMORY_LIMIT_BYTES = 64 << 20


@pytest.fixture
def place() -> Iterator[Path]:
    """Return the folder in which a test's bridges have their ring."""
    with folder() as path:
        yield path


def test_sigterm_while_on_under_load(control: Control, place: Path) -> None:
    """The default ring, lapped: memory within its limit, status 0, ring whole, no probe left."""
    before = probes()
    bridge = Bridge(place)
    with ended(bridge):
        bridge.ready()
        with load("--vcpus", "2", "--kinds", "cpuid"):
            bridge.client.switch(on=True)
            slots = bridge.info().capacity
            assert slots == 65_536
            until(lambda: bridge.info().head > slots + slots // 8, "a lapped ring")
            status = bridge.status()
            assert bridge.resident_bytes() < MEMORY_LIMIT_BYTES
            assert status["resident_bytes"] < MEMORY_LIMIT_BYTES
            assert bridge.end() == 0
            assert probes() == before
    with RingReader(bridge.ring) as reader:
        info, snapshot = reader.info(), reader.snapshot()
    assert (info.state, info.switched_on, info.writer_alive) == ("stopped", False, False)
    assert snapshot.next_index == info.head
    assert len(snapshot.records) >= (slots - lib.KVMLOG_BATCH_RECORDS) * RECORD_BYTES
    check_sum(info.counters)
    assert info.counters["pending"] == 0
    check_losses(info)
    assert ring_bytes.switch_causes(snapshot.records)[-1] == (0, lib.KVMLOG_SWITCH_COMMAND)
    assert control.status().number(lib.KVMLOG_A_RECEIVER) is None
    assert "stopping: tracing off, ring kept" in bridge.log()


def test_sigkill_while_on_under_load(control: Control, place: Path) -> None:
    """Tracing is off and the probes gone; the next bridge goes on with ring and counts."""
    before = probes()
    first = Bridge(place, "--slots", str(1 << 18))
    with ended(first):
        first.ready()
        with load("--kinds", "cpuid,pio"):
            first.client.switch(on=True)
            until(lambda: first.info().counters["seen"] > 0, "a published count")
            assert first.end(signal.SIGKILL) == -signal.SIGKILL
            until(lambda: not control.status().on, "the module off")
            assert probes() == before
            assert control.status().check_sum()["pending"] == 0
    left = first.info()
    assert (left.state, left.writer_alive) == ("abandoned", False)

    second = Bridge(place, "--slots", str(1 << 18), name="second")
    with ended(second):
        second.ready()
        assert "the last bridge was killed; its ring is kept and continued" in second.log()
        info = second.info()
        assert (info.ring_id, info.state) == (left.ring_id, "running")
        assert info.head == left.head + 1
        # What came into the ring after the last published count is counted now.
        counts = info.counters
        assert counts["seen"] >= left.counters["seen"]
        check_sum(counts)
        second.client.switch(on=True)
        histogram = host.Histogram()
        host.guest("--turns", "101")
        counted = histogram.counts()
        histogram.close()
        second.client.switch(on=False)
        assert second.status()["counters"]["seen"] == counts["seen"] + counted.total()
        records = second.records(left.head)
        assert ring_bytes.reasons(records) == counted
        (loss,) = (one for one in ring_bytes.notes(records) if isinstance(one, LossRecord))
        assert (loss.cause, loss.lost) == (lib.KVMLOG_LOSS_RESTART, 0)
        assert loss == decode_record(records)


def wait_for_more(bridge: Bridge, seen: int) -> None:
    """Waits until the bridge has published more exits than these."""
    until(lambda: bridge.info().counters["seen"] > seen, "exits")


def test_killed_again_and_again(control: Control, place: Path) -> None:
    """Each bridge goes on with what the killed one has left, under load all the time."""
    before = probes()
    seen = 0
    with load("--vcpus", "2", "--kinds", "cpuid,pio"):
        for number in range(KILLS):
            bridge = Bridge(place, name=f"bridge{number}")
            with ended(bridge):
                bridge.ready().client.switch(on=True)
                wait_for_more(bridge, seen)
                seen = bridge.status()["counters"]["seen"]
                assert bridge.end(signal.SIGKILL) == -signal.SIGKILL
                until(lambda: not control.status().on, "the module off")
                assert probes() == before
                control.status().check_sum()
    last = Bridge(place, name="last")
    with ended(last):
        assert last.ready().status()["counters"]["seen"] >= seen
        assert last.end() == 0


def test_there_is_one_bridge(control: Control, place: Path) -> None:
    """One writer of a ring, one receiver of the module; who is refused is told why and waits."""
    first = Bridge(place)
    with ended(first), folder() as elsewhere:
        first.ready().client.switch(on=True)
        same = ("--ring", first.ring, "--switch", elsewhere, "--udp", "127.0.0.1:0")
        refused = kvmlog("bridge", *same, status=1)
        assert f"process {first.pid} writes this ring already" in refused.stderr

        second = Bridge(elsewhere)
        with ended(second):
            second.ready()
            assert "the kernel module has another receiver" in second.log()
            assert "stop the other bridge" in second.log()
            with pytest.raises(SwitchError, match="another receiver"):
                second.client.switch(on=True)
            assert second.client.switch(on=False) == "ok off"
            assert first.status()["source"]["on"]
            assert first.info().switched_on

            assert first.end() == 0
            second.says("connected to the source kmod")
            second.client.switch(on=True)
            host.guest("--turns", "11")
            second.client.switch(on=False)
            assert second.status()["counters"]["emitted"] > 22
