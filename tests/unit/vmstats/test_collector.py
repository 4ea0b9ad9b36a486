# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector with libvirt's test driver, poll after poll."""

from __future__ import annotations

import os
import resource
import select
import threading
from pathlib import Path

import libvirt
import pytest

from kvmlog.vmstats.collector import Collector, Settings
from kvmlog.vmstats.event_log import EventLog
from kvmlog.vmstats.events import path_of
from kvmlog.vmstats.libvirt.poller import Poller
from kvmlog.vmstats.reader import SnapshotReader
from kvmlog.vmstats.snapshot import Snapshot
from kvmlog.vmstats.writer import SnapshotWriter
from tests.support.bridge_process import HANG_S
from tests.support.libvirt_test_driver import write_host
from tests.support.scale import POLLS

# A poll then follows the one before.
_AT_ONCE_S = 0.001


def settings(*uris: str) -> Settings:
    """Polls as fast as they go."""
    return Settings(
        uris=uris,
        interval_s=_AT_ONCE_S,
        history_s=10,
        balloon_period_s=0,
        budget_percent=0,
        images="/",
        version="0",
        boot_id="0",
    )


def resident_kib() -> int:
    """Return how much memory this process has at most had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_polls_leave_nothing_behind(tmp_path: Path) -> None:
    """After all polls there are as many threads and descriptors as after the first tenth, and no
    more memory; a domain stops and starts all the time.
    """
    uri = write_host(tmp_path, 5)
    path = str(tmp_path / "vms.json")
    changing = libvirt.open(uri)
    with (
        SnapshotWriter(path) as writer,
        EventLog(path_of(path), "0") as events,
        Collector(settings(uri), writer, events) as collector,
    ):
        collector.start()

        def poll(until: int) -> Snapshot:
            while True:
                collector.handle()
                events.handle()
                snapshot = SnapshotReader(path).read()
                polls = snapshot.collector.connections[0].polls
                if polls >= until:
                    return snapshot
                # The host is this process's connection: a domain of its own comes and goes.
                domain = changing.lookupByName("vm1")
                if polls % 20 < 10:
                    if domain.isActive():
                        domain.destroy()
                elif not domain.isActive():
                    domain.create()

        poll(POLLS // 10)
        threads = threading.active_count()
        descriptors = len(os.listdir("/proc/self/fd"))
        kib = resident_kib()
        last = poll(POLLS)
        assert len(last.vms) == 5
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert resident_kib() - kib < 8 << 10
    changing.close()


def test_a_failing_poller_ends_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody expected is not passed over: the process ends, and its manager restarts it."""

    def fail(_self: Poller) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Poller, "_poll", fail)
    with (
        SnapshotWriter(str(tmp_path / "vms.json")) as writer,
        EventLog(str(tmp_path / "vms.json.events"), "0") as events,
        Collector(settings("test:///default"), writer, events) as collector,
    ):
        collector.start()
        select.select([collector], [], [], HANG_S)
        with pytest.raises(ZeroDivisionError):
            collector.handle()
