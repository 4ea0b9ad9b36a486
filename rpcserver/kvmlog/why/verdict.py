# SPDX-License-Identifier: GPL-2.0-or-later
"""A verdict: what of the evidence stands out, where the time went, and what was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.why.budget import Budget, budget_of
from kvmlog.why.evidence import Evidence, Gap
from kvmlog.why.rules.model import Figure, Match, Rule, percent
from kvmlog.why.rules.table import RULES

# Of the time, from which on a VM is called busy.
_BUSY: Final = 0.7
# What can be looked at, and how it is called.
LOOKED: Final = {
    "run": "state",
    "exits": "exits",
    "cpu": "CPU time and waiting",
    "disks": "disks",
    "nics": "network",
    "memory": "memory and balloon",
    "host": "the host's load and memory",
}


@dataclass(frozen=True)
class Finding:
    """One thing that stands out; condition: when the rule speaks up; source: of its mark."""

    rule: str
    weight: float
    headline: str
    figures: tuple[Figure, ...]
    details: tuple[str, ...]
    remedies: tuple[str, ...]
    condition: str
    source: str


@dataclass(frozen=True)
class Times:
    """Where the vCPUs' time went, as shares of all of it, 0 to 1."""

    guest: float
    kvm: float
    vmm: float
    wait: float
    idle: float
    paused: float


@dataclass(frozen=True)
class Verdict:
    """What there is to say of one VM; times: None where neither exits nor threads are known."""

    name: str
    uuid: str | None
    pid: int | None
    over_s: float
    findings: tuple[Finding, ...]
    summary: str  # a sentence on what it does
    times: Times | None
    looked_at: tuple[str, ...]
    gaps: tuple[Gap, ...]


def judge(evidence: Evidence, rules: Sequence[Rule] = RULES) -> Verdict:
    """Return what the rules say of the evidence, the most costly finding first."""
    budget = budget_of(evidence)
    found: list[tuple[Rule, Match]] = []
    for rule in rules:
        if _known(rule, evidence):
            match = rule.find(evidence, budget, rule.threshold)
            if match is not None:
                found.append((rule, match))
    hidden = {name for rule, _ in found for name in rule.hides}
    findings = [_finding(rule, match) for rule, match in found if rule.name not in hidden]
    findings.sort(key=lambda one: -one.weight)
    return Verdict(
        name=evidence.name,
        uuid=evidence.uuid,
        pid=evidence.pid,
        over_s=evidence.over_ns / 1e9,
        findings=tuple(findings),
        summary=_summary(evidence, budget),
        times=None if budget is None else _times(budget),
        looked_at=tuple(part for part in LOOKED if getattr(evidence, part) is not None),
        gaps=evidence.gaps,
    )


def _known(rule: Rule, evidence: Evidence) -> bool:
    return any(getattr(evidence, part) is not None for part in rule.looks_at.split())


def _finding(rule: Rule, match: Match) -> Finding:
    return Finding(
        rule=rule.name,
        weight=match.weight,
        headline=match.headline,
        figures=match.figures,
        details=match.details,
        remedies=match.remedies or rule.remedies,
        condition=rule.words,
        source=rule.source,
    )


def _times(budget: Budget) -> Times:
    def share(ns: int) -> float:
        return min(1.0, ns / max(1, budget.vcpu_ns))

    return Times(
        guest=share(budget.guest_ns),
        kvm=share(budget.kvm_ns),
        vmm=share(budget.vmm_ns),
        wait=share(budget.wait_ns),
        idle=share(budget.idle_ns),
        paused=share(budget.paused_ns),
    )


def _summary(evidence: Evidence, budget: Budget | None) -> str:
    """Return what the VM does: idle, busy, or in between."""
    run = evidence.run
    if run is not None and run.state in ("shutoff", "crashed", "shutdown"):
        return f"It does not run ({run.state})."
    if budget is None or not budget.vcpu_ns:
        return "What its vCPUs do is not known."
    if budget.paused_ns > 0.9 * budget.vcpu_ns:
        return "It stood still."
    if budget.idle:
        used = budget.wanted_ns / budget.over_ns
        return f"It is idle: it wanted {percent(used)} of one CPU."
    wanted = budget.wanted_ns / budget.vcpu_ns
    own = budget.guest_ns / max(1, budget.wanted_ns)
    busy = "It is busy" if wanted >= _BUSY else "It is partly busy"
    return (
        f"{busy}: it wanted to run {percent(wanted)} of the time, and was in its own code "
        f"{percent(own)} of that."
    )
