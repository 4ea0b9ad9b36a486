# SPDX-License-Identifier: GPL-2.0-or-later
"""A watch of one VM for some seconds: everything that this host knows of it, as evidence.

Nothing is required: what cannot be looked at becomes a gap, with why and what would help. Only a VM
that nobody knows is an error.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import describe_sampling
from kvmlog.guests.model import Guest, GuestError
from kvmlog.guests.names import GuestNames
from kvmlog.ring.records import Record, unpack_records
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsReader
from kvmlog.ring.statistics.reader import Snapshot as Statistics
from kvmlog.stat.query import Query
from kvmlog.stat.report import Moment as Counted
from kvmlog.stat.sampler import Sampler
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import KvmlogError, StatisticsError, SwitchError, VmStatsError
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import lateness
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.why.evidence import CpuTime, Evidence, Exits, Gap, Host, Memory
from kvmlog.why.gather import quota, threads, vm
from kvmlog.why.gather.exits import exits_of, with_pending
from kvmlog.why.gather.host import HostWatch

LEAST_S: Final = 1.0
MOST_S: Final = 60.0
DEFAULT_S: Final = 10.0
# What a lease for a watch has beyond it: for switching on, and for the last exits.
_LEASE_S: Final = 5.0
_TRACE: Final = "--trace switches it on for the time of the watch"
# A waiting share from which it is worth looking who runs instead.
_WAITING: Final = 0.05
# Of exits that have neither reason nor times (kvmlog.exits.reasons.names.lacks_reason).
_NO_ISA: Final = "none"


class UnknownVmError(KvmlogError):
    """Nobody knows a VM of this name, UUID or pid, or several have it."""


@dataclass(frozen=True)
class Places:
    """Where to look. snapshot: reads the collector's newest poll; VmStatsError. find: the one VM of
    a poll that a word names; VmStatsError. copy: makes copies of the statistics, None: the reader.
    waiting: entered while nothing is computed.
    """

    ring: str
    switch: str
    snapshot: Callable[[], Snapshot]
    find: Callable[[Snapshot, str], Vm]
    copy: Callable[[StatisticsReader], Statistics] | None = None
    waiting: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext


@dataclass(frozen=True)
class _Target:
    """The VM as the collector knows it, and its process on this host."""

    name: str
    uuid: str | None
    pid: int | None
    vm: Vm | None

    @property
    def elsewhere(self) -> bool:
        """Return whether it runs on another host than this."""
        return self.vm is not None and self.vm.sample.active and self.pid is None


def watch(
    places: Places,
    word: str,
    over_s: float,
    trace: Callable[[str, float], None] | None = None,
) -> Evidence:
    """Watch a VM and return what was seen; UnknownVmError.

    trace: switches tracing of a VM on for so many seconds, where it is off; raises SwitchError.
    """
    gaps: list[Gap] = []
    first = _poll(places, gaps)
    target = _target(places, word, first)
    pid = target.pid
    if target.elsewhere:
        what = "exits, CPU time of its threads, its host"
        gaps.append(Gap(what, "it runs on another host", "ask there: kvmlog remote HOST why"))
    with _ExitWatch(places, target, trace, over_s, gaps) as exits:
        host = HostWatch()
        before = None if pid is None else _ProcessMark(pid)
        began_ns = time.monotonic_ns()
        with places.waiting():
            exits.begin()
            time.sleep(over_s)
            exits.end()
        seen = exits.seen()
        after = None if pid is None else _ProcessMark(pid)
    found = Evidence(
        name=target.name,
        uuid=target.uuid,
        pid=pid,
        over_ns=time.monotonic_ns() - began_ns,
        vcpus=None,
        exits=seen,
        host=None if target.elsewhere else host.ended(),
    )
    if before is not None and after is not None:
        found = replace(found, cpu=_cpu(before, after, found.host))
    if first is not None and target.vm is not None:
        found = _with_collector(found, places, word, first, target.vm, gaps)
    if found.memory is not None and before is not None and after is not None:
        found = replace(found, memory=_memory(found.memory, before, after))
    if found.vcpus is None and found.cpu is not None:
        found = replace(found, vcpus=len(found.cpu.vcpus) or None)
    return replace(found, gaps=tuple(gaps))


def _poll(places: Places, gaps: list[Gap]) -> Snapshot | None:
    """Return the collector's newest poll; None, and a gap, where there is none."""
    what = "state, disks, network, memory"
    try:
        snapshot = places.snapshot()
    except VmStatsError as error:
        why, _, remedy = str(error).partition("; ")
        gaps.append(Gap(what, why, remedy or "start the collector (kvmlog vmstats)"))
        return None
    late = lateness(snapshot, Moment.now())
    if late is not None:
        why, _, remedy = late.partition("; ")
        gaps.append(Gap("anything new of disks, network and memory", why, remedy))
    return snapshot


def _target(places: Places, word: str, snapshot: Snapshot | None) -> _Target:
    """Return the VM that a word names; UnknownVmError."""
    names = GuestNames(places.ring)
    known: Vm | None = None
    problem: Exception | None = None
    if snapshot is not None:
        try:
            known = places.find(snapshot, word)
        except VmStatsError as error:
            problem = error
    if known is not None:
        return _Target(known.sample.name, known.sample.uuid, known.sample.pid, known)
    try:
        found = _guests(places, names, word)
    except GuestError as error:
        raise UnknownVmError(str(problem or error)) from None
    guests = [one for one in found if one.ended_realtime_ns is None]
    if len(guests) != 1:
        pids = ", ".join(str(one.pid) for one in guests)
        why = f"names {len(guests)} guests; give the pid of one: {pids}" if guests else "has ended"
        raise UnknownVmError(f"'{word}' {why}; kvmlog guests lists those that run")
    (guest,) = guests
    return _Target(guest.name, guest.uuid, guest.pid, None)


def _guests(places: Places, names: GuestNames, word: str) -> list[Guest]:
    """Return the bridge's guests of a word, of one that has just been started too; GuestError."""
    with contextlib.suppress(GuestError):
        return names.matching([word])
    with contextlib.suppress(SwitchError), places.waiting():
        SwitchClient(places.switch).guests()
    names.reload()
    return names.matching([word])


def _with_collector(
    found: Evidence, places: Places, word: str, first: Snapshot, before: Vm, gaps: list[Gap]
) -> Evidence:
    """Return the evidence with what the collector knows by now."""
    try:
        last = places.snapshot()
        after = places.find(last, before.sample.uuid)
    except VmStatsError:
        last, after = first, before
    now = Moment.now()
    rates = vm.rates_between(before, after)
    sample = after.sample
    if rates is None and sample.active:
        gaps.append(
            Gap(
                "disks, network and swapping over time",
                "the collector has polled it only once so far",
                f"try again in {last.collector.effective_interval_s:.0f} s",
            )
        )
    gaps.extend(
        Gap(one.group, one.reason.rstrip("."), "see kvmlog vms, and the collector's log")
        for one in sample.absent
    )
    return replace(
        found,
        vcpus=sample.definition.vcpus or None,
        run=vm.run_of(after, now, hung=last.is_hung(after)),
        cpu=found.cpu if found.cpu is not None else vm.cpu_of(rates),
        disks=vm.disks_of(before.sample, sample, rates),
        nics=vm.nics_of(sample, rates),
        memory=vm.memory_of(sample, rates),
    )


class _ProcessMark:
    """A VM's process at one time."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.threads = threads.read(pid, time.monotonic_ns())
        self.throttled_ns = quota.throttled_ns(pid)
        self.major_faults = threads.major_faults(pid)
        self.swapped_bytes = threads.swapped_bytes(pid)


def _cpu(before: _ProcessMark, after: _ProcessMark, host: Host | None) -> CpuTime | None:
    grown = threads.between(before.threads, after.threads)
    if not grown:
        return None
    over_ns = after.threads.monotonic_ns - before.threads.monotonic_ns
    cpus = threads.allowed_cpus(after.pid, after.threads)
    waited_ns = max((one.wait_ns or 0 for one in grown), default=0)
    rival = None
    if waited_ns >= _WAITING * over_ns:
        rival = threads.rival(after.pid, before.threads, after.threads, cpus)
    throttled_ns = None
    if before.throttled_ns is not None and after.throttled_ns is not None:
        throttled_ns = max(0, after.throttled_ns - before.throttled_ns)
    host_cpus = len(cpus) or (None if host is None else host.cpus)
    return CpuTime(over_ns, grown, throttled_ns, rival, host_cpus)


def _memory(memory: Memory, before: _ProcessMark, after: _ProcessMark) -> Memory:
    """Return the memory with what the host's kernel knows of the process."""
    faults_per_s = None
    over_ns = after.threads.monotonic_ns - before.threads.monotonic_ns
    if before.major_faults is not None and after.major_faults is not None and over_ns > 0:
        faults_per_s = max(0, after.major_faults - before.major_faults) * 1e9 / over_ns
    return replace(
        memory, host_major_faults_per_s=faults_per_s, host_swapped_bytes=after.swapped_bytes
    )


class _ExitWatch(Closeable):
    """The exits of the watch; a gap where they are not counted."""

    def __init__(
        self,
        places: Places,
        target: _Target,
        trace: Callable[[str, float], None] | None,
        over_s: float,
        gaps: list[Gap],
    ) -> None:
        self._places = places
        self._target = target
        self._gaps = gaps
        self._switch = SwitchClient(places.switch)
        self._reader: StatisticsReader | None = None
        self._sampler: Sampler | None = None
        self._base: Counted | None = None
        self._last: Counted | None = None
        self._pending = b""
        if target.pid is None:
            return
        try:
            if self._is_traced(trace, over_s):
                self._reader = StatisticsReader(places.ring + SUFFIX)
        except (SwitchError, StatisticsError) as error:
            self._missing(str(error), "")

    def close(self) -> None:
        """Close the statistics."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def begin(self) -> None:
        """Take the first sample."""
        reader, places = self._reader, self._places
        if reader is None:
            return
        copy = places.copy
        made = None if copy is None else lambda: copy(reader)
        try:
            self._sampler = Sampler(
                reader, places.ring, places.switch, Query(), (), lambda _: None, made
            )
            self._base = self._sampler.now()
        except (SwitchError, StatisticsError) as error:
            self._missing(str(error), "")

    def end(self) -> None:
        """Take the last sample."""
        if self._base is None or self._sampler is None:
            return
        try:
            self._last = self._sampler.now()
            self._pending, _ = self._switch.pending(self._numbers())
        except (SwitchError, StatisticsError) as error:
            self._missing(str(error), "")
            self._last = None

    def seen(self) -> Exits | None:
        """Return the exits from begin() to end(); None where they are not known."""
        if self._base is None or self._last is None:
            return None
        before, after = self._base.snapshot, self._last.snapshot
        over_ns = after.folded_ns - before.folded_ns
        if (before.statistics_id, before.since_ns) != (after.statistics_id, after.since_ns):
            self._missing("the statistics began anew meanwhile", "try again")
            return None
        if over_ns <= 0:
            self._missing("the bridge has counted nothing meanwhile", "look at its log")
            return None
        ids = {one.id for one in after.guests.values() if one.tgid == self._target.pid}
        numbers = self._numbers()
        pending = [
            one
            for one in unpack_records(self._pending)
            if isinstance(one, Record) and one.guest in numbers
        ]
        exits = exits_of(after, before, ids, over_ns)
        if exits.groups and all(group.isa == _NO_ISA for group in exits.groups):
            self._missing(
                "this kernel's KVM shows no exits, only returns to QEMU",
                "kvmlog stat --by guest,return counts those",
            )
            return None
        return with_pending(exits, pending)

    def _numbers(self) -> frozenset[int]:
        """Return the numbers that the source knows the VM by."""
        names = GuestNames(self._places.ring)
        return frozenset(
            number
            for one in names.guests()
            if one.pid == self._target.pid and one.ended_realtime_ns is None
            for number, _ in one.numbers
        )

    def _is_traced(self, trace: Callable[[str, float], None] | None, over_s: float) -> bool:
        """Return whether the VM's exits are counted, after switching that on where asked to."""
        status = self._status()
        if status.get("wanted") != "on":
            if trace is None:
                self._missing("tracing is off", _TRACE)
                return False
            trace(str(self._target.pid), over_s + _LEASE_S)
            status = self._status()
            if status.get("wanted") != "on":
                self._missing("tracing was switched on and is off again", "kvmlog status says why")
                return False
        if not self._matches(status):
            self._missing(
                "tracing is on for other VMs only",
                f"add it: kvmlog switch on --vm {self._target.name} (with the others' names)",
            )
            return False
        if recorded := status.get("sampling"):
            self._gaps.append(
                Gap(
                    "every exit",
                    f"only some are recorded ({'; '.join(describe_sampling(recorded))}), so that "
                    "times of exits are too low",
                    "kvmlog switch on without sampling",
                )
            )
        return True

    def _status(self) -> dict[str, Any]:
        with self._places.waiting():
            return self._switch.status()

    def _matches(self, status: dict[str, object]) -> bool:
        chosen = status.get("filter")
        if not isinstance(chosen, dict):
            return True
        try:
            guests = GuestNames(self._places.ring).matching(chosen.get("vm", []), chosen["vm"])
        except (GuestError, KeyError):
            return False
        return any(one.pid == self._target.pid for one in guests)

    def _missing(self, why: str, remedy: str) -> None:
        if not remedy:
            why, _, remedy = why.partition("; ")
        self._gaps.append(Gap("exits", why, remedy or "start the bridge (kvmlog bridge)"))
