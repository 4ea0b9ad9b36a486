# SPDX-License-Identifier: GPL-2.0-or-later
"""What came before a sample: its domain's generation, rates over the last interval, and sums.

Of each group of figures only the last one is kept, since a rate is made of two. Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Generic, TypeVar

from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats import between
from kvmlog.vmstats.growth import Growth
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.rates import BlockRates, CpuRates, InterfaceRates, MemoryRates, Rates
from kvmlog.vmstats.sample import Block, Cpu, Interface, Memory, Sample
from kvmlog.vmstats.snapshot import Vm

# More than a collector's file takes. The one that was sampled longest ago is forgotten first.
DOMAINS_MOST: Final = 16_384

_Figures = TypeVar("_Figures")
_Rated = TypeVar("_Rated")


class History:
    """The domains that were sampled; history_s: how far a rate may reach back at most."""

    def __init__(self, history_s: float) -> None:
        self._history_ns = round(history_s * NS_PER_S)
        # A domain that migrates is on two hosts for a while.
        self._domains: dict[tuple[str, str], _Domain] = {}

    def __len__(self) -> int:
        return len(self._domains)

    def add(self, sample: Sample, *, host_cpus: int | None = None) -> Vm:
        """Add a domain's newest sample; return it with what is known of the time before it.

        The generation and `state_since` of what is returned are set here, whatever the sample has,
        and `started` where it has none. A sample whose `taken` is not newer than the last one's
        changes nothing else: rates and sums are those of the last. host_cpus: CPUs of the domain's
        host, for the share of it; None: not known.
        """
        key = (sample.uri, sample.uuid)
        domain = self._domains.pop(key, None) or _Domain(sample, self._history_ns)
        self._domains[key] = domain
        if len(self._domains) > DOMAINS_MOST:
            del self._domains[next(iter(self._domains))]
        return domain.add(sample, host_cpus)

    def forget(self, uuid: str, uri: str | None = None) -> None:
        """Forget a domain that is no longer there; uri: on this connection only, None: on all."""
        for key in [key for key in self._domains if key[1] == uuid and uri in (None, key[0])]:
            del self._domains[key]


class _Group(Generic[_Figures, _Rated]):
    """The last known figures of one group in this generation, and the rates that they gave."""

    def __init__(self, history_ns: int) -> None:
        self._history_ns = history_ns
        self.taken: Moment | None = None
        self.figures: _Figures | None = None
        self.since: Moment | None = None  # where the rates' interval begins
        self.rates: _Rated | None = None

    def add(
        self,
        taken: Moment | None,
        figures: _Figures | None,
        rate: Callable[[_Figures, _Figures, int], _Rated],
    ) -> None:
        """Add figures; None: they are not known. Those that are no newer give the rates again."""
        if taken is None or figures is None:
            self.rates = None
            return
        if self.taken is not None and self.figures is not None:
            interval_ns = taken.monotonic_ns - self.taken.monotonic_ns
            if interval_ns <= 0:
                return
            known = interval_ns <= self._history_ns
            self.rates = rate(self.figures, figures, interval_ns) if known else None
            self.since = self.taken
        self.taken, self.figures = taken, figures


class _Groups:
    """All groups of a generation."""

    def __init__(self, history_ns: int) -> None:
        self.cpu = _Group[Cpu, CpuRates](history_ns)
        self.memory = _Group[Memory, MemoryRates](history_ns)
        self.blocks = _Group[tuple[Block, ...], tuple[BlockRates, ...]](history_ns)
        self.interfaces = _Group[tuple[Interface, ...], tuple[InterfaceRates, ...]](history_ns)

    def add(self, sample: Sample, host_cpus: int | None) -> None:
        """Add a sample's figures."""
        cpu, memory = sample.cpu, sample.memory
        vcpus = sample.definition.vcpus if cpu is None else len(cpu.vcpus)
        rate = partial(
            between.cpu, vcpus=vcpus or sample.definition.vcpus, host_cpus=host_cpus or 0
        )
        self.cpu.add(None if cpu is None else cpu.taken, cpu, rate)
        self.memory.add(None if memory is None else memory.taken, memory, between.memory)
        self.blocks.add(sample.blocks_taken or sample.taken, sample.blocks, between.blocks)
        self.interfaces.add(
            sample.interfaces_taken or sample.taken, sample.interfaces, between.interfaces
        )

    def shrank(self, sample: Sample) -> bool:
        """Return whether the CPU time is less than it was."""
        old = None if self.cpu.figures is None else self.cpu.figures.time_ns
        new = None if sample.cpu is None else sample.cpu.time_ns
        return old is not None and new is not None and new < old

    def rates(self) -> Rates | None:
        """Return the rates of all groups; None where no group has any."""
        groups = (self.cpu, self.memory, self.blocks, self.interfaces)
        rated = [group for group in groups if group.rates is not None]
        if not rated:
            return None
        return Rates(
            since=min(group.since for group in rated if group.since is not None),
            until=max(group.taken for group in rated if group.taken is not None),
            cpu=self.cpu.rates,
            memory=self.memory.rates,
            blocks=self.blocks.rates,
            interfaces=self.interfaces.rates,
        )


class _Domain:
    """One domain on one connection."""

    def __init__(self, first: Sample, history_ns: int) -> None:
        self._history_ns = history_ns
        self._groups = _Groups(history_ns)
        self._growth = Growth(first.taken)
        self._newest: Sample | None = None

    def add(self, sample: Sample, host_cpus: int | None) -> Vm:
        before = self._newest
        if before is None:
            sample = replace(
                sample,
                generation=_second(sample.taken),
                state_since=sample.taken,
                started=(sample.started or sample.taken) if sample.active else None,
            )
        else:
            sample = self._following(before, sample)
        if before is None or sample.taken > before.taken:
            if sample.active:
                self._groups.add(sample, host_cpus)
                self._growth.add(sample)
            else:
                self._groups = _Groups(self._history_ns)
        self._newest = sample
        return Vm(sample, self._groups.rates(), self._growth.accumulated)

    def _following(self, before: Sample, sample: Sample) -> Sample:
        """Return a later sample with its generation; what it begins anew is forgotten here."""
        counts = sample.active and sample.taken > before.taken
        new_process = counts and _new_process(before, sample)
        if new_process:
            self._growth.restart()
        anew = new_process or (counts and self._groups.shrank(sample))
        if anew:
            self._groups = _Groups(self._history_ns)
        generation = before.generation
        started = sample.started or before.started or sample.taken
        if anew:
            generation = max(generation + 1, _second(sample.taken))
            started = sample.started or sample.taken
        same_state = sample.state == before.state and not new_process
        return replace(
            sample,
            generation=generation,
            state_since=before.state_since if same_state else sample.taken,
            started=started if sample.active else None,
        )


def _second(moment: Moment) -> int:
    """Return the second in which a generation begins.

    Generations are numbered by it, so that they also grow from one collector to the next, which
    knows nothing of the one before.
    """
    return moment.realtime_ns // NS_PER_S


def _new_process(before: Sample, sample: Sample) -> bool:
    """Return whether a domain that runs has another process than the one before, or none then."""
    if not before.active:
        return True
    pairs = ((before.domain_id, sample.domain_id), (before.pid, sample.pid))
    return any(old is not None and new is not None and old != new for old, new in pairs)
