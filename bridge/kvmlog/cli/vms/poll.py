# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of VMs at one time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvmlog.cli.vms.exits import ExitFigures, VmExits
from kvmlog.ring.clocks import Clocks
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.rates import Rates
from kvmlog.vmstats.reader import is_late, lateness
from kvmlog.vmstats.snapshot import Snapshot, Vm


@dataclass(frozen=True)
class Line:
    """One VM. stale: its figures are older than they should be."""

    vm: Vm
    rates: Rates | None
    age_s: float
    stale: bool
    exits: ExitFigures | None


@dataclass(frozen=True)
class Poll:
    """Chosen VMs at one time; problems: sentences on what keeps figures from being there."""

    lines: Sequence[Line]
    now: Moment  # on the clocks of the collector's host
    clocks: Clocks
    interval_s: float  # between the collector's polls, as configured
    exits_over_s: float | None  # None: exits are not counted
    problems: Sequence[str]


def poll_of(
    snapshot: Snapshot, vms: Sequence[Vm], exits: VmExits, clocks: Clocks, now: Moment
) -> Poll:
    """Return a poll of some of a snapshot's VMs; now: on the clocks of the collector's host."""
    lines = [
        Line(
            vm,
            vm.rates,
            vm.age_s(now),
            vm.sample.timed_out or is_late(vm.sample.taken, snapshot.collector, now),
            exits.of(vm.sample),
        )
        for vm in vms
    ]
    collector = snapshot.collector
    late = lateness(snapshot, now)
    problems = [late] if late else []
    problems += [one.error for one in collector.connections if one.error and not one.connected]
    problems += [collector.stretched] if collector.stretched else []
    return Poll(lines, now, clocks, collector.interval_s, exits.over_s, problems)
