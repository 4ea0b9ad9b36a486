# SPDX-License-Identifier: GPL-2.0-or-later
"""A watch of one VM for some seconds: everything that this host knows of it, as evidence.

Nothing is required: what cannot be looked at becomes a gap, with why and what would help. Only a VM
that nobody knows is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import lateness
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.why.evidence import Evidence, Gap
from kvmlog.why.gather import target as targets
from kvmlog.why.gather import vm
from kvmlog.why.gather.exit_watch import ExitWatch
from kvmlog.why.gather.host import HostWatch
from kvmlog.why.gather.process import ProcessMark, cpu_between, with_process
from kvmlog.why.gather.target import Places

LEAST_S: Final = 1.0
MOST_S: Final = 60.0
DEFAULT_S: Final = 10.0


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
    target = targets.find(places, word, first)
    pid = target.pid
    if target.elsewhere:
        what = "exits, CPU time of its threads, its host"
        gaps.append(Gap(what, "it runs on another host", "ask there: kvmlog remote HOST why"))
    with ExitWatch(places, target, trace, over_s, gaps) as exits:
        host = HostWatch()
        before = None if pid is None else ProcessMark(pid)
        began_ns = time.monotonic_ns()
        with places.waiting():
            exits.begin()
            time.sleep(over_s)
            exits.end()
        seen = exits.seen()
        after = None if pid is None else ProcessMark(pid)
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
        found = replace(found, cpu=cpu_between(before, after, found.host))
    if first is not None and target.vm is not None:
        found = _with_collector(found, places, word, first, target.vm, gaps)
    if found.memory is not None and before is not None and after is not None:
        found = replace(found, memory=with_process(found.memory, before, after))
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
