# SPDX-License-Identifier: GPL-2.0-or-later
"""All that the collector knows at one time: what its file holds, and what views are made of."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlog.vmstats.accumulated import Accumulated
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.rates import Rates
from kvmlog.vmstats.sample import Sample


@dataclass(frozen=True)
class Vm:
    """One domain: its newest sample, and what came of those before."""

    sample: Sample
    rates: Rates | None  # over the last interval; None: there was no sample before to compare with
    accumulated: Accumulated

    def age_s(self, now: Moment) -> float:
        """Return how old the sample is."""
        return max(0, now.monotonic_ns - self.sample.taken.monotonic_ns) / 1e9


@dataclass(frozen=True)
class Connection:
    """The state of one libvirt connection."""

    uri: str
    connected: bool
    since: Moment  # of this state
    error: str | None  # why it is not, a sentence
    polls: int
    last_poll_ns: int | None  # how long it took
    hung: tuple[str, ...]  # UUIDs of domains that do not answer
    stuck_threads: int


@dataclass(frozen=True)
class Cost:
    """What collecting costs, over the last interval, in percent of one CPU."""

    own_cpu_ns: int  # since the collector began
    libvirtd_cpu_ns: int | None  # while it polled, local daemons only
    own_percent: float | None
    libvirtd_percent: float | None
    budget_percent: float  # for both together; 0: no limit


@dataclass(frozen=True)
class Collector:
    """The collector's state."""

    pid: int
    version: str
    started: Moment
    written: Moment
    interval_s: float  # as configured
    effective_interval_s: float  # longer where the budget stretches it
    stretched: str | None  # why it is, a sentence
    balloon_period_s: int | None  # set where it was missing; None: not asked to
    cost: Cost
    connections: tuple[Connection, ...]

    @property
    def answering(self) -> str | None:
        """Return "1 of 2 connections answer"; None where all do."""
        connected = sum(one.connected for one in self.connections)
        if connected == len(self.connections):
            return None
        return f"{connected} of {len(self.connections)} connections answer"


@dataclass(frozen=True)
class Snapshot:
    """All of it."""

    boot_id: str  # of the collector's host
    collector: Collector
    hosts: tuple[Host, ...]
    vms: tuple[Vm, ...]

    def is_hung(self, vm: Vm) -> bool:
        """Return whether a VM did not answer while its libvirt did."""
        sample = vm.sample
        return any(
            one.uri == sample.uri and sample.uuid in one.hung for one in self.collector.connections
        )

    def host_of(self, vm: Vm) -> Host | None:
        """Return the host that a VM runs on; None where it has not been sampled yet."""
        return next((host for host in self.hosts if host.uri == vm.sample.uri), None)
