# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on exits: what keeps a guest from its own code.

Time of an exit is that in KVM and in QEMU: halts, pauses and waits for a CPU are no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from kvmlog.exits.explain import tables
from kvmlog.exits.reasons import lookup
from kvmlog.util.units import NS_PER_S, duration, short
from kvmlog.why.budget import Budget
from kvmlog.why.evidence import Activity, Evidence, Group
from kvmlog.why.rules.model import Figure, Find, Match, percent

# A vCPU that is away for longer misses a tick of a guest with HZ=1000 (the kernel's Kconfig.hz),
# and a device that takes so long is seen by whoever waits for it.
SLOW_NS: Final = 1_000_000
# Part of their time in which the threads sleep, where they wait.
_BLOCKED: Final = 0.5
# So many of the groups of a finding are told.
_TOLD: Final = 3


def slow_device(evidence: Evidence, budget: Budget | None, least: float) -> Match | None:
    """Find a device in QEMU whose accesses take a millisecond and more."""
    slow = _slow_groups(evidence, budget)
    return _found(
        evidence,
        budget,
        least,
        slow.__contains__,
        lambda group: group.vmm_ns,
        lambda share, top, mean, _rate: (
            f"it waits {percent(share)} of its time for a slow device in QEMU: each access to "
            f"{_place(top)} takes {mean}."
        ),
    )


def _storm(
    *activities: Activity,
    sentence: Callable[[float, Group, str, str], str],
    at_place: str | None = None,
) -> Find:
    """Return a rule's function: many quick exits for one of these activities.

    at_place: what to try, where the exits are for a port or an address.
    """

    def find(evidence: Evidence, budget: Budget | None, least: float) -> Match | None:
        slow = _slow_groups(evidence, budget)
        return _found(
            evidence,
            budget,
            least,
            lambda group: group.activity in activities and group not in slow,
            _spent_ns,
            sentence,
            at_place,
        )

    return find


port_polling = _storm(
    Activity.PORT,
    sentence=lambda share, top, mean, rate: (
        f"it spends {percent(share)} of its time on I/O ports: {rate} accesses a second to "
        f"{_place(top)}, {mean} each."
    ),
    at_place="in the guest: write less to its serial console (console=, loglevel), or use "
    "virtio-console; no polling of legacy devices",
)
emulated_device = _storm(
    Activity.MMIO,
    sentence=lambda share, top, mean, rate: (
        f"it spends {percent(share)} of its time on the memory of emulated devices: {rate} "
        f"accesses a second to {_place(top)}, {mean} each."
    ),
    at_place="virtio or a passed-through device instead of an emulated one (e1000, AHCI, VGA, "
    "HPET)",
)
timers = _storm(
    Activity.TIMER,
    sentence=lambda share, top, mean, rate: (
        f"it spends {percent(share)} of its time on its own timer: it is set {rate} times a second "
        f"({top.name}), {mean} each."
    ),
)
ipis = _storm(
    Activity.IPI,
    sentence=lambda share, top, mean, rate: (
        f"its vCPUs interrupt each other {rate} times a second (IPIs), which takes "
        f"{percent(share)} of its time, {mean} each."
    ),
)
msrs = _storm(
    Activity.MSR,
    sentence=lambda share, top, mean, rate: (
        f"it spends {percent(share)} of its time on a register that KVM emulates: {rate} accesses "
        f"a second to {_place(top)}, {mean} each."
    ),
)
memory = _storm(
    Activity.MEMORY,
    sentence=lambda share, top, mean, rate: (
        f"it waits {percent(share)} of its time for memory from the host: {rate} pages a second, "
        f"{mean} each."
    ),
)
spinning = _storm(
    Activity.SPIN,
    sentence=lambda share, top, mean, rate: (
        f"its vCPUs spin for locks ({rate} times a second, {percent(share)} of its time): whoever "
        "holds the lock is likely not running."
    ),
)
nested = _storm(
    Activity.NESTED,
    sentence=lambda share, top, mean, rate: (
        f"it runs guests of its own, whose exits take {percent(share)} of its time: {rate} a "
        f"second, most of them {top.name}."
    ),
)


def others(evidence: Evidence, budget: Budget | None, least: float) -> Match | None:
    """Find any other reason that takes much of the time, and say what its explanation says."""
    rest = (Activity.OTHER, Activity.APIC, Activity.INTERRUPT)
    slow = _slow_groups(evidence, budget)
    candidates = [
        group for group in _groups(evidence) if group.activity in rest and group not in slow
    ]
    by_name: dict[str, int] = {}
    for group in candidates:
        by_name[group.name] = by_name.get(group.name, 0) + _spent_ns(group)
    if not by_name:
        return None
    name = max(by_name, key=lambda one: by_name[one])
    match = _found(
        evidence,
        budget,
        least,
        lambda group: group.name == name and group in candidates,
        _spent_ns,
        lambda share, top, mean, rate: (
            f"exits of one kind take {percent(share)} of its time: {top.name}, {rate} a second, "
            f"{mean} each."
        ),
    )
    if match is None:
        return None
    isa = next(group.isa for group in candidates if group.name == name)
    known = [one for one in lookup.find(name, isa) if one.name == name]
    if not known:
        return match
    explained = tables.explain(known[0])
    return Match(
        match.weight,
        match.headline,
        match.figures,
        (f"{explained.meaning}.", *match.details),
        tuple(
            one[0].lower() + one[1:].removesuffix(".") for one in explained.explanation.remedies[:2]
        ),
    )


def _slow_groups(evidence: Evidence, budget: Budget | None) -> frozenset[Group]:
    """Return the exits that wait for something in QEMU: long ones, in which the thread sleeps.

    Long ones in which it computes are emulation, on a host that is slow itself.
    """
    found = frozenset(
        group
        for group in _groups(evidence)
        if group.activity != Activity.HALT and group.vmm_ns >= SLOW_NS * max(1, group.count)
    )
    blocked_ns = None if budget is None else budget.blocked_ns
    if blocked_ns is not None and blocked_ns < _BLOCKED * sum(group.vmm_ns for group in found):
        return frozenset()
    return found


def _place_remedies(group: Group, always: str) -> tuple[str, ...]:
    """Return what to try for a port or an address, with the command that explains it."""
    kind, _, rest = group.detail.partition(" ")
    number = rest.partition(" ")[0].partition("-")[0]
    option = {"port": "--port", "gpa": "--gpa"}.get(kind)
    if option is None or not number.startswith("0x"):
        return (always,)
    return (always, f"see what is there: kvmlog explain {option} {number}")


def _found(
    evidence: Evidence,
    budget: Budget | None,
    least: float,
    chosen: Callable[[Group], bool],
    part: Callable[[Group], int],
    sentence: Callable[[float, Group, str, str], str],
    at_place: str | None = None,
) -> Match | None:
    exits = evidence.exits
    if exits is None or budget is None:
        return None
    groups = sorted(filter(chosen, exits.groups), key=part, reverse=True)
    spent_ns = sum(map(part, groups))
    share = budget.share(spent_ns)
    if not groups or share * 100 < least:
        return None
    count, over_s = sum(group.count for group in groups), exits.over_ns / NS_PER_S
    mean_ns = spent_ns / max(1, count)
    figures = (
        Figure("time", share * 100, "percent"),
        Figure("rate", count / over_s, "per_s"),
        Figure("mean", mean_ns, "ns"),
    )
    words = sentence(share, groups[0], duration(round(mean_ns)), short(count / over_s, 1_000))
    remedies = () if at_place is None else _place_remedies(groups[0], at_place)
    return Match(share, words, figures, tuple(_details(groups, part, spent_ns)), remedies)


def _details(groups: list[Group], part: Callable[[Group], int], spent_ns: int) -> Iterable[str]:
    """Say who else is among them, where the first is not nearly all."""
    if len(groups) < 2 or part(groups[0]) > 0.9 * spent_ns:
        return
    told = ", ".join(
        f"{_place(group)} {percent(part(group) / spent_ns)}" for group in groups[:_TOLD]
    )
    yield f"Of that time: {told}."


def _groups(evidence: Evidence) -> tuple[Group, ...]:
    return evidence.exits.groups if evidence.exits is not None else ()


def _spent_ns(group: Group) -> int:
    return group.kvm_ns + group.vmm_ns


def _place(group: Group) -> str:
    return group.detail or group.name
