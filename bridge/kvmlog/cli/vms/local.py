# SPDX-License-Identifier: GPL-2.0-or-later
"""The VMs of this host: the collector's file, and the bridge's statistics of exits."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kvmlog.cli.vms.exits import ExitMeter
from kvmlog.cli.vms.poll import MOMENT_S, Intervals, Poll, poll_of
from kvmlog.guests.names import GuestNames
from kvmlog.ring.reader import host_clocks
from kvmlog.rpcserver.vms.selection import VmIndex
from kvmlog.util.closeable import Closeable
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import SnapshotReader
from kvmlog.vmstats.snapshot import Snapshot, Vm


class LocalSource(Closeable):
    """A source of polls; words: the VMs requested, empty: all.

    VmStatsError where there is no file, or no VM of a name.
    """

    def __init__(self, file: str, ring: str, switch: str, words: Sequence[str]) -> None:
        self._reader = SnapshotReader(file)
        self._ring = ring
        self._words = words
        self._intervals = Intervals()
        # Before a second is spent on exits.
        self._read()
        self._meter = ExitMeter(ring, switch)

    def close(self) -> None:
        """Close the statistics."""
        self._meter.close()

    def poll(self, over_s: float | None) -> Poll:
        """Wait so long, and return what there is then, with the exits meanwhile.

        None, for the first: wait only where exits are counted, for a moment.
        """
        if over_s is None:
            over_s = MOMENT_S if self._meter.begin() else 0.0
        time.sleep(over_s)
        exits = self._meter.measured()
        snapshot, vms = self._read()
        return poll_of(snapshot, vms, exits, host_clocks(self._ring), Moment.now(), self._intervals)

    def _read(self) -> tuple[Snapshot, list[Vm]]:
        snapshot = self._reader.read()
        guests = GuestNames(self._ring).guests()
        return snapshot, VmIndex(snapshot, guests).matching(self._words)
