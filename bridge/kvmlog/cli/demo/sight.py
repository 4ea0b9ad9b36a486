# SPDX-License-Identifier: GPL-2.0-or-later
"""Explanations of what a source sees of a guest with this host's KVM, for first-time users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvmlog.ring.statistics.reader import By
from kvmlog.stat.query import Query


@dataclass(frozen=True)
class Sight:
    """one, seen: what is recorded, one of it and all; columns: how to read their lines.

    view: the statistics that say most of it, options: that choose these in `kvmlog stat`;
    following: what to try next.
    """

    one: str
    seen: str
    columns: str
    counted: str
    view: Query
    options: str
    following: str


EXITS: Final = Sight(
    one="exit",
    seen="exits",
    columns="""\
       TOTAL is the time from the exit until the guest ran again; of it, VMM was spent in the
       guest's own process outside the kernel, and HALT asleep. Other notes stand at the end.""",
    counted="how many, how long, and who spent the time",
    view=Query(),
    options="",
    following="""\
      next: kvmlog switch on --for 5m     all guests of this host, off by itself
            kvmlog stat -i 1              what comes each second
            kvmlog explain npf            what an exit reason is, and what to do about many
            kvmlog demo --seconds 30      this again, longer""",
)
# Without kvm_amd and kvm_intel the guest is emulated: CPUID and MSRs never reach its process.
RETURNS: Final = Sight(
    one="return",
    seen="returns from KVM to the guest's process",
    columns="""\
       REASON is why KVM returned to the guest's own process. Which vCPU it was, and how long
       it took (TOTAL, VMM, HALT), is not known here: "-".""",
    counted="how many, by why KVM returned",
    view=Query(by=By.GUEST | By.RETURN, sort="vmm"),
    options=" --by guest,return",
    following="""\
      neither kvm_amd nor kvm_intel runs here: KVM emulates its guests, and does not tell their
      exits, so that returns are all there is to see. A host with one of them shows exits, reasons
      and times.
      next: kvmlog switch on --for 5m     all guests of this host, off by itself
            kvmlog stat --by return -i 1  what comes each second
            kvmlog explain KVM_EXIT_MMIO  what a reason is, and what to do about many""",
)


def sight_of(isa: str | None) -> Sight:
    """Return the Sight of a source by source.isa in the bridge's status (enum kvmlog_isa)."""
    return RETURNS if isa == "none" else EXITS
