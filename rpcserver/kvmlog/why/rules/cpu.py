# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the host's CPUs: a VM that waits for one, and one that a quota holds back."""

from __future__ import annotations

from kvmlog.exits.format.notes import counted
from kvmlog.why.budget import LEAST_WANTED, Budget
from kvmlog.why.evidence import CpuTime, Evidence, VcpuTime
from kvmlog.why.rules.model import Figure, Match, percent


def waits(evidence: Evidence, budget: Budget | None, least: float) -> Match | None:
    """Find a VM, or one of its vCPUs, that is ready to run and gets no CPU."""
    share = budget.share(budget.wait_ns) if budget is not None else 0.0
    worst = _worst(evidence.cpu)
    worst_share = 0.0 if worst is None else _share(worst)
    if evidence.cpu is not None and worst is not None:
        known = [one for one in evidence.cpu.vcpus if one.wait_ns is not None]
        wanted_ns = sum(one.on_cpu_ns + (one.wait_ns or 0) for one in known)
        if wanted_ns >= LEAST_WANTED * evidence.cpu.over_ns:
            share = max(share, sum(one.wait_ns or 0 for one in known) / wanted_ns)
    # One vCPU of many, with twice the mark: the others may hide it.
    alone = share * 100 < least and worst_share * 100 >= 2 * least
    if share * 100 < least and not alone:
        return None
    figures = [Figure("wait", share * 100, "percent")]
    if worst is not None:
        figures.append(Figure("wait_worst_vcpu", worst_share * 100, "percent"))
    if alone and worst is not None:
        headline = (
            f"vCPU {worst.number} is ready to run but gets no CPU of the host "
            f"{percent(worst_share)} of the time it wants to run."
        )
        weight = worst_share
    else:
        headline = (
            f"it is ready to run but gets no CPU of the host {percent(share)} of the time it wants "
            "to run (steal)."
        )
        weight = share
    details, remedies = _others(evidence, figures)
    return Match(weight, headline, tuple(figures), tuple(details), tuple(remedies))


def _others(evidence: Evidence, figures: list[Figure]) -> tuple[list[str], list[str]]:
    """Return what is known of those that run instead."""
    details: list[str] = []
    remedies: list[str] = []
    cpu, host = evidence.cpu, evidence.host
    if cpu is not None and cpu.rival is not None:
        rival = cpu.rival
        share = rival.cpu_ns / cpu.over_ns
        figures.append(Figure("rival", share * 100, "percent"))
        details.append(
            f"{rival.comm} (pid {rival.pid}) used {percent(share)} of CPU {rival.cpu}, which its "
            "vCPUs share."
        )
        remedies.append(
            f"give one of them other CPUs: virsh vcpupin {evidence.name}, or taskset -p for "
            f"{rival.comm}"
        )
    if cpu is not None and cpu.host_cpus and cpu.host_cpus < len(cpu.vcpus):
        details.append(
            f"Its {counted(len(cpu.vcpus), 'vCPU')} may run on {counted(cpu.host_cpus, 'CPU')} of "
            "the host only."
        )
    if host is not None and host.load1 is not None and host.cpus:
        figures.append(Figure("load_per_cpu", host.load1 / host.cpus, "count"))
        details.append(
            f"The host's load is {host.load1:.1f} on {host.cpus} CPUs"
            + ("." if host.load1 > host.cpus else ": other CPUs may be free.")
        )
    return details, remedies


def throttled(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a VM that its CPU quota holds back."""
    cpu = evidence.cpu
    if cpu is None or cpu.throttled_ns is None or cpu.over_ns <= 0 or not cpu.vcpus:
        return None
    share = cpu.throttled_ns / (cpu.over_ns * len(cpu.vcpus))
    if share * 100 < least:
        return None
    return Match(
        min(1.0, share),
        f"its CPU quota holds it back {percent(min(1.0, share))} of the time.",
        (Figure("throttled", min(1.0, share) * 100, "percent"),),
        (),
        (
            f"raise the quota (virsh schedinfo {evidence.name}: vcpu_quota, global_quota), or the "
            "flavor that sets it",
        ),
    )


def _worst(cpu: CpuTime | None) -> VcpuTime | None:
    """Return the vCPU that waits most, of those that want to run at all."""
    if cpu is None:
        return None
    wanting = [
        one
        for one in cpu.vcpus
        if one.wait_ns is not None and one.on_cpu_ns + one.wait_ns >= LEAST_WANTED * cpu.over_ns
    ]
    return max(wanting, key=_share, default=None)


def _share(one: VcpuTime) -> float:
    wanted_ns = one.on_cpu_ns + (one.wait_ns or 0)
    return (one.wait_ns or 0) / wanted_ns if wanted_ns else 0.0
