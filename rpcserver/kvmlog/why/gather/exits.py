# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits of one VM as evidence: from two copies of the statistics, and from what is pending."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from kvmlog.exits.decode import detail, gpa
from kvmlog.exits.reasons import names
from kvmlog.native import lib
from kvmlog.ring.records import NO_VCPU, Record
from kvmlog.ring.statistics.reader import DETAIL_EXACT, NO_RETURN, By, Row, Snapshot
from kvmlog.stat.serialize import detail_words
from kvmlog.why.activities import activity_of
from kvmlog.why.evidence import Activity, Exits, Group, Return, Stuck

_PARTS: Final = ("count", "total_ns", "kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")


def exits_of(
    snapshot: Snapshot, base: Snapshot | None, guests: Collection[int], over_ns: int
) -> Exits:
    """Return the exits of a VM's guests (ids in the statistics) since `base`; None: all of them."""
    groups: dict[tuple[object, ...], Group] = {}
    for row in snapshot.rows(By.GUEST | By.REASON | By.DETAIL, base, guests):
        group = _group(row)
        key = (group.activity, group.isa, group.reason, group.detail)
        known = groups.get(key)
        groups[key] = group if known is None else _sum(known, group)
    returns = [
        Return(names.user_reason_name(row.user_reason), row.count)
        for row in snapshot.rows(By.GUEST | By.RETURN, base, guests)
        if row.user_reason != NO_RETURN
    ]
    vcpus = {
        (row.guest, row.vcpu)
        for row in snapshot.rows(By.GUEST | By.VCPU, base, guests)
        if row.vcpu != NO_VCPU
    }
    return Exits(over_ns, len(vcpus) or None, tuple(groups.values()), tuple(returns))


def with_pending(exits: Exits, pending: Iterable[Record]) -> Exits:
    """Return the exits with those that had not ended: halts, pauses, and vCPUs that are stuck."""
    halted_ns, held_ns = exits.halted_ns, exits.held_ns
    stuck = list(exits.stuck)
    pending = list(pending)
    # A vCPU that halts for longer than the watch has made no exit in it.
    vcpus = max(exits.vcpus or 0, len({(one.guest, one.vcpu) for one in pending})) or None
    for record in pending:
        within_ns = min(record.total_ns, exits.over_ns)
        if names.halted_ns(record) or _halts_in_vmm(record):
            halted_ns += within_ns
        elif record.flags & lib.KVMLOG_F_USER_EINTR:
            held_ns += within_ns
        else:
            stuck.append(_stuck(record))
    return replace(exits, vcpus=vcpus, stuck=tuple(stuck), halted_ns=halted_ns, held_ns=held_ns)


def _halts_in_vmm(record: Record) -> bool:
    """Return whether the VMM, which has the interrupt controller, sleeps for the guest."""
    returned = bool(record.flags & lib.KVMLOG_F_USER_REASON)
    return returned and names.user_reason_name(record.user_reason) == "KVM_EXIT_HLT"


def _stuck(record: Record) -> Stuck:
    words = ""
    if record.flags & lib.KVMLOG_F_DETAIL_VALID:
        words = detail.detail_words(
            record.isa, record.reason, record.detail, is_device=names.is_mmio(record)
        )
    return Stuck(
        vcpu=record.vcpu,
        name=names.reason_name(record.isa, record.reason),
        detail=words,
        since_ns=record.total_ns,
        in_vmm=record.user_exits > 0,
    )


def _group(row: Row) -> Group:
    activity = activity_of(row)
    words = detail_words(row)
    x86 = row.isa != lib.KVMLOG_ISA_ARM64
    if activity == Activity.MMIO and row.detail_kind == DETAIL_EXACT and x86:
        # A device, whatever its registers are.
        words = f"gpa {gpa.device_words(row.detail)}"
    if activity == Activity.MEMORY:
        words = ""
    return Group(
        activity=activity,
        isa=names.isa_name(row.isa),
        reason=row.reason,
        name=names.reason_name(row.isa, row.reason),
        detail=words,
        **{part: getattr(row, part) for part in _PARTS},
    )


def _sum(one: Group, other: Group) -> Group:
    return replace(one, **{part: getattr(one, part) + getattr(other, part) for part in _PARTS})
