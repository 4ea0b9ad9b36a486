# SPDX-License-Identifier: GPL-2.0-or-later
"""What exits are for, of real statistics: by reason, detail and processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import Record
from kvmlog.why.evidence import Activity, Exits
from kvmlog.why.gather.exits import exits_of, with_pending
from tests.support.statistics_feed import Counting, exits, note

SVM, VMX = lib.KVMLOG_ISA_SVM, lib.KVMLOG_ISA_VMX
VALID, RETURNED = lib.KVMLOG_F_DETAIL_VALID, lib.KVMLOG_F_USER_REASON
IO, MMIO = 2, 6
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("activity", "fields"),
    [
        (Activity.TIMER, {"isa": SVM, "reason": 0x7C, "detail": 0x6E0}),
        (Activity.TIMER, {"isa": VMX, "reason": 32, "detail": 0x6E0}),
        (Activity.TIMER, {"isa": VMX, "reason": 32, "detail": 0x838}),
        (Activity.TIMER, {"isa": VMX, "reason": 52, "flags": 0}),
        (Activity.TIMER, {"isa": SVM, "reason": 0x400, "detail": 0xFEE00380}),
        (Activity.IPI, {"isa": SVM, "reason": 0x400, "detail": 0xFEE00300}),
        (Activity.IPI, {"isa": VMX, "reason": 32, "detail": 0x830}),
        (Activity.IPI, {"isa": SVM, "reason": 0x401, "flags": 0}),
        (Activity.APIC, {"isa": SVM, "reason": 0x400, "detail": 0xFEE000B0}),
        (Activity.APIC, {"isa": VMX, "reason": 44, "flags": 0}),
        (Activity.MSR, {"isa": SVM, "reason": 0x7C, "detail": 0x1A0}),
        (Activity.PORT, {"isa": SVM, "reason": 0x7B, "detail": 0x3F8}),
        (Activity.PORT, {"isa": VMX, "reason": 30, "detail": 0x3F8}),
        (
            Activity.MMIO,
            {
                "isa": SVM,
                "reason": 0x400,
                "detail": 0xD0000000,
                "flags": VALID | RETURNED,
                "user_reason": MMIO,
                "user_exits": 1,
                "user_ns": 50,
            },
        ),
        (Activity.MMIO, {"isa": VMX, "reason": 49, "detail": 0xD0000000}),
        (Activity.MEMORY, {"isa": SVM, "reason": 0x400, "detail": 0x1234000}),
        (Activity.MEMORY, {"isa": VMX, "reason": 48, "detail": 0x1234000}),
        (Activity.INTERRUPT, {"isa": SVM, "reason": 0x60, "flags": 0}),
        (Activity.INTERRUPT, {"isa": VMX, "reason": 1, "flags": 0}),
        (Activity.SPIN, {"isa": SVM, "reason": 0x77, "flags": 0}),
        (Activity.HALT, {"isa": SVM, "reason": 0x78, "flags": 0}),
        (Activity.HALT, {"isa": VMX, "reason": 12, "flags": 0}),
        (Activity.NESTED, {"isa": SVM, "reason": 0x72, "flags": lib.KVMLOG_F_NESTED}),
        (Activity.OTHER, {"isa": SVM, "reason": 0x72, "detail": 0}),
    ],
)
def test_what_an_exit_is_for(tmp_path: Path, activity: Activity, fields: dict[str, Any]) -> None:
    """One kind at a time, counted by the real statistics."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 4242), exits(7, total_ns=100, **{"flags": VALID, **fields}))
        snapshot = counting.snapshot()
        found = exits_of(snapshot, None, list(snapshot.guests), SECOND)
    assert [(group.activity, group.count) for group in found.groups] == [(activity, 7)]
    assert found.sum_ns("total_ns") == 700


def test_only_the_exits_of_the_vm_since_the_first_copy_count(tmp_path: Path) -> None:
    """Neither those before, nor another guest's; the returns to the VMM beside them."""
    out = {"reason": 0x7B, "flags": VALID | RETURNED, "user_reason": IO, "user_exits": 1}
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 4242), note(2, 4243), exits(5, **out), exits(3, guest=2, **out))
        base = counting.snapshot()
        counting.feed(exits(2, vcpu=[0, 1], detail=0x3F8, **out), exits(9, guest=2, **out))
        after = counting.snapshot()
        own = [one.id for one in after.guests.values() if one.tgid == 4242]
        found = exits_of(after, base, own, SECOND)
    assert (found.count, found.vcpus) == (2, 2)
    assert [(one.name, one.count) for one in found.returns] == [("KVM_EXIT_IO", 2)]
    assert [group.detail for group in found.groups] == ["port 0x3f8 (com1)"]


def pending(**fields: int) -> Record:
    """An exit that has not ended."""
    values = {**dict.fromkeys(Record._fields, 0), "isa": SVM, "flags": lib.KVMLOG_F_NO_REENTRY}
    return Record(**{**values, **fields})


def test_exits_that_have_not_ended() -> None:
    """A halt is idle time, a pause is held, and of any other vCPU it is said that it is stuck."""
    none = Exits(SECOND, None, (), ())
    flags = lib.KVMLOG_F_NO_REENTRY
    found = with_pending(
        none,
        [
            pending(reason=0x78, total_ns=5 * SECOND),
            pending(vcpu=1, total_ns=SECOND // 2, flags=flags | lib.KVMLOG_F_USER_EINTR),
            pending(
                vcpu=2,
                reason=0x7B,
                detail=0x1F0,
                total_ns=3 * SECOND,
                user_exits=1,
                flags=flags | VALID,
            ),
        ],
    )
    # No more of a halt than lies within the watch.
    assert (found.halted_ns, found.held_ns) == (SECOND, SECOND // 2)
    (stuck,) = found.stuck
    assert (stuck.vcpu, stuck.name, stuck.since_ns, stuck.in_vmm) == (2, "io", 3 * SECOND, True)
    assert stuck.detail == "port 0x1f0 (ide1)"
