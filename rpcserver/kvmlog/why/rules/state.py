# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the VM's state: it hangs, is paused, or had a fault."""

from __future__ import annotations

from typing import Final

from kvmlog.exits.format.notes import counted
from kvmlog.util.units import duration
from kvmlog.why.budget import Budget
from kvmlog.why.evidence import Evidence
from kvmlog.why.rules.model import Figure, Match, percent

# What KVM_RUN returns for with a guest that cannot go on.
_FATAL: Final = {
    "KVM_EXIT_FAIL_ENTRY": "the processor refused to enter the guest",
    "KVM_EXIT_INTERNAL_ERROR": "KVM could not emulate what the guest did",
    "KVM_EXIT_SHUTDOWN": "the guest crashed so hard that its CPU shut down (a triple fault)",
}
_BY_REASON: Final = {
    "an I/O error": (
        "make the storage of its disks writable again (full, or unreachable?), then "
        "virsh resume {name}",
    ),
    "a migration": ("wait for the migration, or look at it: virsh domjobinfo {name}",),
    "it is being saved": ("wait for virsh save, or look at it: virsh domjobinfo {name}",),
    "its memory is being dumped": ("wait for the dump: virsh domjobinfo {name}",),
    "a snapshot": ("wait for the snapshot: virsh domjobinfo {name}",),
    "its watchdog": (
        "look at the guest's console: it had not answered its watchdog; then virsh resume {name}, "
        "or virsh reset {name}",
    ),
    "the guest's crash": ("look at the guest's console, then virsh reset {name}",),
}


def hung(evidence: Evidence, _budget: Budget | None, _least: float) -> Match | None:
    """Find a QEMU that does not answer libvirt."""
    run = evidence.run
    if run is None or not run.hung:
        return None
    return Match(
        1.0,
        "its QEMU process does not answer libvirt.",
        (),
        ("As long as it hangs, figures of disks, network and memory are old or missing.",),
        (
            f"look at what its process waits for: cat /proc/{evidence.pid or '<pid>'}/stack, and "
            f"at its storage; virsh domcontrol {evidence.name} says since when",
        ),
    )


def paused(evidence: Evidence, budget: Budget | None, least: float) -> Match | None:
    """Find a VM that its manager holds, for the whole watch or some of it."""
    run = evidence.run
    stands = run is not None and run.state in ("paused", "pmsuspended")
    share = 0.0
    if budget is not None and budget.vcpu_ns:
        share = budget.paused_ns / budget.vcpu_ns
    if not stands and share * 100 < least:
        return None
    figures = (Figure("paused", share * 100, "percent"),) if budget is not None else ()
    if not stands or run is None:
        return Match(
            max(share, 0.5),
            f"its manager held its vCPUs {percent(share)} of the time.",
            figures,
            ("It runs now: a migration, a snapshot, or virsh suspend and resume do that.",),
            ("see who pauses it: the log of the cloud's agent, and of libvirtd",),
        )
    since = "" if run.since_s is None else f" for {duration(round(run.since_s * 1e9))}"
    if run.state == "pmsuspended":
        return Match(
            1.0,
            f"it is suspended to memory, by its own guest,{since or ' now'}.",
            figures,
            (),
            (f"virsh dompmwakeup {evidence.name}",),
        )
    cause = run.reason or "its manager"
    headline = f"it is paused{since}: {cause}."
    if run.reason is None:
        headline = f"it is paused{since}, by its manager."
    remedies = _BY_REASON.get(cause, ())
    return Match(1.0, headline, figures, (), tuple(r.format(name=evidence.name) for r in remedies))


def faults(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find exits that only a guest in trouble makes, and a VM that crashed."""
    found: list[str] = []
    figures: list[Figure] = []
    for one in evidence.exits.returns if evidence.exits else ():
        if one.name in _FATAL and one.count >= least:
            found.append(f"{_FATAL[one.name]} ({one.name}, {counted(one.count, 'time')})")
            figures.append(Figure(one.name, one.count, "count"))
    run = evidence.run
    if run is not None and run.state == "crashed":
        found.append("libvirt calls it crashed")
    if not found:
        return None
    return Match(1.0, f"it had a fault: {'; '.join(found)}.", tuple(figures))


def stuck(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a vCPU that did not come back from an exit."""
    exits = evidence.exits
    late = [one for one in exits.stuck if one.since_ns >= least * 1e9] if exits else []
    if not late:
        return None
    worst = max(late, key=lambda one: one.since_ns)
    where = "in QEMU" if worst.in_vmm else "in the host's kernel"
    what = f"{worst.name} {worst.detail}".strip()
    more = f", and {len(late) - 1} more vCPUs" if len(late) > 1 else ""
    return Match(
        min(1.0, len(late) / (evidence.vcpus or len(late))),
        f"vCPU {worst.vcpu} has been stuck {where} for {duration(worst.since_ns)}, in "
        f"{what}{more}.",
        (Figure("stuck_ns", worst.since_ns, "ns"), Figure("stuck_vcpus", len(late), "count")),
        (),
        (
            f"look at the device or storage behind that exit; kvmlog pending --vm {evidence.name} "
            "shows whether it goes on",
        ),
    )
