# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog remote HOST vms`: the VMs of another host, as its server tells of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Final

from kvmlog.cli.vms.exits import BY_TIME, VmExits, is_complete, not_known
from kvmlog.cli.vms.poll import MOMENT_S, Intervals, Poll, poll_of
from kvmlog.client import Client
from kvmlog.client.connection import RpcFaultError
from kvmlog.ring.clocks import ClockPair, Clocks, of_this_process
from kvmlog.stat.report import Report

# As long as a server counts for one call, and as short as it always can.
_LONGEST_S: Final = 60.0
_SHORTEST_S: Final = 1.0
# As many groups as a server gives: the largest reason of each VM is among them.
_GROUPS: Final = dataclasses.replace(BY_TIME, top=4_096)


class RemoteSource:
    """A source of polls, as LocalSource is. RpcError; RpcFaultError for what the server refuses."""

    def __init__(self, client: Client, words: Sequence[str]) -> None:
        self._client = client
        self._words = words
        self._intervals = Intervals()

    def poll(self, over_s: float | None) -> Poll:
        """Wait so long, and return what there is then, with the exits meanwhile."""
        if over_s is None:
            # Before a second is spent on exits.
            self._client.vm_stats(self._words)
        bridge = self._client.status().bridge or {}
        report, problem = None, None
        if bridge.get("wanted") == "on":
            report, problem = self._exits(MOMENT_S if over_s is None else over_s)
        elif over_s is not None:
            time.sleep(over_s)
        stats = self._client.vm_stats(self._words)
        exits = VmExits(report, is_complete(bridge), problem)
        clocks = of_this_process() if report is None else _clocks(report)
        return poll_of(
            stats.snapshot, stats.snapshot.vms, exits, clocks, stats.now, self._intervals
        )

    def _exits(self, over_s: float) -> tuple[Report | None, str | None]:
        """Return a report, or why there is none, after so long."""
        time.sleep(max(0.0, over_s - _LONGEST_S))
        over_s = min(max(over_s, _SHORTEST_S), _LONGEST_S)
        try:
            # Of all guests: a VM that does not run is no guest.
            return self._client.statistics(_GROUPS, over_s=over_s)[0], None
        except RpcFaultError as error:
            time.sleep(over_s)
            return None, not_known(error)


def _clocks(report: Report) -> Clocks:
    """Return the zone of a report's host."""
    return Clocks([ClockPair(0, 0, report.until_utc_offset_s)])
