# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of VMs at one time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.cli.vms.exits import ExitFigures, VmExits
from kvmlog.ring.clocks import Clocks
from kvmlog.vmstats.history import History
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.rates import Rates
from kvmlog.vmstats.reader import is_late, lateness
from kvmlog.vmstats.snapshot import Snapshot, Vm

# Exits of a single table, and of the first of several, are those of so many seconds.
MOMENT_S: Final = 1.0
# Whatever the interval is, its rates are of it.
_FOREVER_S: Final = 1e9


@dataclass(frozen=True)
class Line:
    """One VM. stale: its figures are older than they should be; hung: its QEMU does not answer."""

    vm: Vm
    rates: Rates | None
    age_s: float
    stale: bool
    hung: bool
    exits: ExitFigures | None


@dataclass(frozen=True)
class Poll:
    """Chosen VMs at one time; problems: sentences on what keeps figures from being there."""

    snapshot: Snapshot
    lines: Sequence[Line]
    now: Moment  # on the clocks of the collector's host
    clocks: Clocks
    exits_over_s: float | None  # None: exits are not counted
    problems: Sequence[str]


class Intervals:
    """Rates since the table before, in place of those over the collector's last interval."""

    def __init__(self) -> None:
        self._history = History(_FOREVER_S)

    def rates(self, vm: Vm, host_cpus: int | None) -> Rates | None:
        """Return a VM's rates since it was asked for last; the first time, the collector's."""
        return self._history.add(vm.sample, host_cpus=host_cpus).rates or vm.rates


def poll_of(
    snapshot: Snapshot,
    vms: Sequence[Vm],
    exits: VmExits,
    clocks: Clocks,
    now: Moment,
    intervals: Intervals,
) -> Poll:
    """Return a poll of some of a snapshot's VMs; now: on the clocks of the collector's host."""
    collector = snapshot.collector
    lines = []
    for vm in vms:
        host, sample = snapshot.host_of(vm), vm.sample
        rates = intervals.rates(vm, None if host is None else host.cpu.count)
        stale = sample.timed_out or is_late(sample.taken, collector, now)
        counted = exits.of(sample, local=host is None or host.local)
        lines.append(Line(vm, rates, vm.age_s(now), stale, snapshot.is_hung(vm), counted))
    late = lateness(snapshot, now)
    problems = [late] if late else []
    problems += [exits.problem] if exits.problem else []
    problems += [
        f"{one.uri}: {one.error}"
        for one in collector.connections
        if one.error and not one.connected
    ]
    problems += [collector.stretched] if collector.stretched else []
    return Poll(snapshot, lines, now, clocks, exits.over_s, problems)
