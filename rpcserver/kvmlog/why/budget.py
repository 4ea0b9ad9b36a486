# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the vCPUs' time went: the whole that rules take shares of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvmlog.why.evidence import Evidence

# Less than this part of one CPU is a VM that does nothing: its few exits are nearly all it does.
# Our own choice: an idle guest stays below it even on a host that is itself emulated.
LEAST_WANTED: Final = 0.05


@dataclass(frozen=True)
class Budget:
    """vCPU time of the watch, ns.

    blocked_ns: of what is neither idle nor paused, the vCPUs' threads slept so long, in QEMU or in
    the kernel; None: not known.
    """

    vcpu_ns: int
    idle_ns: int
    paused_ns: int
    wait_ns: int
    kvm_ns: int
    vmm_ns: int
    guest_ns: int  # in the guest's own code: the rest
    over_ns: int
    blocked_ns: int | None = None

    @property
    def wanted_ns(self) -> int:
        """Return the time in which the guest had something to do."""
        return max(0, self.vcpu_ns - self.idle_ns - self.paused_ns)

    @property
    def idle(self) -> bool:
        """Return whether it had so little to do that shares of it mean nothing."""
        return self.wanted_ns < LEAST_WANTED * self.over_ns

    def share(self, ns: float) -> float:
        """Return a part of the wanted time, 0 to 1; 0 of an idle VM."""
        if self.idle:
            return 0.0
        return min(1.0, ns / self.wanted_ns)


def budget_of(evidence: Evidence) -> Budget | None:
    """Return the budget; None where neither exits nor CPU time are known, nor how many vCPUs."""
    exits, cpu = evidence.exits, evidence.cpu
    if exits is None:
        return None if cpu is None or not cpu.vcpus else _of_threads(evidence)
    over_ns = exits.over_ns
    vcpus = evidence.vcpus or exits.vcpus
    if not vcpus or over_ns <= 0:
        return None
    whole_ns = vcpus * over_ns
    paused_ns = min(whole_ns, exits.sum_ns("paused_ns") + exits.held_ns)
    kvm_ns, vmm_ns, wait_ns = (exits.sum_ns(part) for part in ("kvm_ns", "vmm_ns", "wait_ns"))
    idle_ns = exits.sum_ns("idle_ns") + exits.halted_ns
    slept_ns, blocked_ns = _slept_ns(evidence, over_ns), None
    if slept_ns is not None:
        blocked_ns = max(0, slept_ns - paused_ns - idle_ns)
        # A halt is known only when it ends: threads that sleep tell of those that have not.
        idle_ns = max(idle_ns, slept_ns - paused_ns - vmm_ns - kvm_ns)
    idle_ns = max(0, min(idle_ns, whole_ns - paused_ns))
    used_ns = idle_ns + paused_ns + wait_ns + kvm_ns + vmm_ns
    return Budget(
        vcpu_ns=whole_ns,
        idle_ns=idle_ns,
        paused_ns=paused_ns,
        wait_ns=wait_ns,
        kvm_ns=kvm_ns,
        vmm_ns=vmm_ns,
        guest_ns=max(0, whole_ns - used_ns),
        over_ns=over_ns,
        blocked_ns=blocked_ns,
    )


def _slept_ns(evidence: Evidence, over_ns: int) -> int | None:
    """Return how long the vCPUs' threads neither ran nor waited, scaled to the exits' interval."""
    cpu = evidence.cpu
    if cpu is None or not cpu.vcpus or cpu.over_ns <= 0:
        return None
    if any(one.wait_ns is None for one in cpu.vcpus):
        return None
    active_ns = sum(one.on_cpu_ns + (one.wait_ns or 0) for one in cpu.vcpus)
    slept_ns = max(0, len(cpu.vcpus) * cpu.over_ns - active_ns)
    return round(slept_ns * over_ns / cpu.over_ns)


def _of_threads(evidence: Evidence) -> Budget:
    """Return a budget by the scheduler alone: what runs is in the guest, what sleeps is idle."""
    cpu = evidence.cpu
    assert cpu is not None
    whole_ns = len(cpu.vcpus) * cpu.over_ns
    on_cpu_ns = sum(one.on_cpu_ns for one in cpu.vcpus)
    wait_ns = sum(one.wait_ns or 0 for one in cpu.vcpus)
    idle_ns = max(0, whole_ns - on_cpu_ns - wait_ns)
    return Budget(whole_ns, idle_ns, 0, wait_ns, 0, 0, on_cpu_ns, cpu.over_ns)
