# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of each exit's time: KVM, VMM, waiting, idle and paused add up to the total."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlog.native import lib
from kvmlog.ring.statistics.reader import HANDLER_L0, HANDLER_L1, NO_RETURN, By
from tests.support.statistics_feed import (
    ALL_BY,
    PARTS,
    PER_REASON,
    Counting,
    Elements,
    Records,
    add_up,
    counted,
    exits,
)

SLEPT, USER = lib.KVMLOG_F_HALT_SLEPT, lib.KVMLOG_F_USER_REASON
EINTR, NESTED = lib.KVMLOG_F_USER_EINTR, lib.KVMLOG_F_NESTED
L0, L1 = lib.KVMLOG_F_NESTED_L0, lib.KVMLOG_F_NESTED_L1
NO_REENTRY = lib.KVMLOG_F_NO_REENTRY
VMX, SVM, ARM64 = lib.KVMLOG_ISA_VMX, lib.KVMLOG_ISA_SVM, lib.KVMLOG_ISA_ARM64
HLT, INTR = 0x78, 0x60
# <linux/kvm.h>
KVM_EXIT_IO, KVM_EXIT_HLT, KVM_EXIT_INTR = 2, 5, 10

CASES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "handled in KVM": ({"total_ns": 1_000}, {"kvm": 1_000}),
    "by the VMM": (
        {"total_ns": 1_000, "user_ns": 400, "flags": USER, "user_reason": KVM_EXIT_IO},
        {"kvm": 600, "vmm": 400},
    ),
    "a halt that slept": (
        {"reason": HLT, "total_ns": 10_000, "halt_ns": 8_000, "flags": SLEPT},
        {"kvm": 2_000, "idle": 8_000},
    ),
    "a halt that only polled": (
        {"reason": HLT, "total_ns": 10_000, "halt_ns": 8_000},
        {"kvm": 10_000},
    ),
    "a wait for a CPU inside a halt": (
        {
            "reason": HLT,
            "total_ns": 10_000,
            "halt_ns": 8_000,
            "delay_kernel_us": 3,
            "flags": SLEPT,
        },
        {"kvm": 2_000, "wait": 3_000, "idle": 5_000},
    ),
    "a wait longer than its halt": (
        {
            "reason": HLT,
            "total_ns": 10_000,
            "halt_ns": 1_000,
            "delay_kernel_us": 3,
            "flags": SLEPT,
        },
        {"kvm": 7_000, "wait": 3_000},
    ),
    "a halt longer than its exit": (
        {"reason": HLT, "total_ns": 1_000, "halt_ns": 9_000, "flags": SLEPT},
        {"idle": 1_000},
    ),
    "a halt under way when tracing ends": (
        {"reason": HLT, "total_ns": 10_000, "flags": NO_REENTRY},
        {"idle": 10_000},
    ),
    "the same after one that ended": (
        {"reason": HLT, "total_ns": 10_000, "halt_ns": 2_000, "flags": NO_REENTRY | SLEPT},
        {"idle": 10_000},
    ),
    "a halt that was interrupted, its vCPU gone": (
        {
            "reason": HLT,
            "total_ns": 10_000,
            "halt_ns": 6_000,
            "user_ns": 3_000,
            "paused_ns": 3_000,
            "flags": NO_REENTRY | SLEPT | EINTR,
        },
        {"kvm": 1_000, "idle": 6_000, "paused": 3_000},
    ),
    "no halt, under way when tracing ends": (
        {"total_ns": 10_000, "flags": NO_REENTRY},
        {"kvm": 10_000},
    ),
    "a halt that the VMM sleeps out": (
        {
            "reason": HLT,
            "total_ns": 10_000,
            "user_ns": 9_000,
            "flags": USER,
            "user_reason": KVM_EXIT_HLT,
        },
        {"kvm": 1_000, "idle": 9_000},
    ),
    "the same, paused and waiting as well": (
        {
            "reason": HLT,
            "total_ns": 10_000,
            "user_ns": 9_000,
            "paused_ns": 2_000,
            "delay_user_us": 3,
            "flags": USER | EINTR,
            "user_reason": KVM_EXIT_HLT,
        },
        {"kvm": 1_000, "wait": 3_000, "idle": 4_000, "paused": 2_000},
    ),
    "a pause": (
        {"total_ns": 6_000, "user_ns": 5_000, "paused_ns": 5_000, "flags": EINTR},
        {"kvm": 1_000, "paused": 5_000},
    ),
    "a pause after work of the VMM": (
        {
            "total_ns": 6_000,
            "user_ns": 5_000,
            "paused_ns": 3_000,
            "flags": USER | EINTR,
            "user_reason": KVM_EXIT_IO,
        },
        {"kvm": 1_000, "vmm": 2_000, "paused": 3_000},
    ),
    "a VMM that waited for a CPU": (
        {"total_ns": 6_000, "user_ns": 5_000, "delay_user_us": 2, "flags": USER},
        {"kvm": 1_000, "vmm": 3_000, "wait": 2_000},
    ),
    "waits on both sides": (
        {
            "total_ns": 9_000,
            "user_ns": 5_000,
            "delay_kernel_us": 1,
            "delay_user_us": 2,
            "flags": USER,
        },
        {"kvm": 3_000, "vmm": 3_000, "wait": 3_000},
    ),
    "waits beyond the exit": (
        {"total_ns": 900, "user_ns": 400, "delay_kernel_us": 9, "delay_user_us": 9},
        {"wait": 900},
    ),
    "more in the VMM than in all": ({"total_ns": 1_000, "user_ns": 5_000}, {"vmm": 1_000}),
    "more paused than in the VMM": (
        {"total_ns": 1_000, "user_ns": 300, "paused_ns": 800},
        {"kvm": 700, "paused": 300},
    ),
}


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counting]:
    """One for all: each test begins it anew."""
    with Counting(tmp_path_factory.mktemp("split")) as counting:
        yield counting


@pytest.mark.parametrize("name", CASES)
def test_the_time_of_an_exit_is_shared_out(counting: Counting, name: str) -> None:
    """One exit, and three like it."""
    fields, parts = CASES[name]
    for count in (1, 3):
        counting.writer.reset()
        counting.feed(exits(count, **fields))
        (row,) = counting.rows()
        figures = {part: getattr(row, part) for part in PARTS}
        assert figures == {part: count * parts.get(part.removesuffix("_ns"), 0) for part in PARTS}


@st.composite
def any_records(draw: st.DrawFn) -> Records:
    """Exits with fields that need not fit together, of few kinds, so that they meet."""
    count = draw(st.integers(1, 12))
    records = exits(count)
    ns = st.one_of(st.integers(0, 3_000), st.integers(0, 2**50))
    us = st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1))
    choices: dict[str, st.SearchStrategy[int]] = {
        "isa": st.integers(0, 3),
        "flags": st.integers(0, 2**11 - 1),
        "reason": st.sampled_from([0x01, 12, 48, INTR, HLT, 0x7B, 0x400, 0x8000000C]),
        "user_reason": st.sampled_from([0, KVM_EXIT_IO, KVM_EXIT_HLT, 6, KVM_EXIT_INTR]),
        "guest": st.integers(1, 3),
        "vcpu": st.integers(0, 2),
        "detail": st.integers(0, 3),
        "total_ns": ns,
        "user_ns": ns,
        "halt_ns": ns,
        "paused_ns": ns,
        "delay_kernel_us": us,
        "delay_user_us": us,
    }
    for name, values in choices.items():
        records[name] = draw(st.lists(values, min_size=count, max_size=count))
    return records


@settings(max_examples=150, deadline=None)
@given(records=any_records())
def test_whatever_comes_every_sum_and_every_grouping_adds_up(
    counting: Counting, records: Records
) -> None:
    """The parts equal the total in each row; all groupings have the same exits and times."""
    counting.writer.reset()
    counting.feed(records)
    snapshot = counting.snapshot()
    total_ns = int(records["total_ns"].sum())
    halts = {add_up([row for row in snapshot.rows(by) if row.halt], "count") for by in ALL_BY}
    assert snapshot.exits == counted(snapshot) == len(records)
    assert len(halts) == 1
    for by in ALL_BY:
        rows = snapshot.rows(by)
        figures = (
            add_up(rows, "count"),
            add_up(rows, "total_ns"),
            add_up(rows, "max_ns") > total_ns,
        )
        assert figures == (len(records), total_ns, False)
        assert all(sum(getattr(row, part) for part in PARTS) == row.total_ns for row in rows)
        assert min(row.min_ns for row in rows) == int(records["total_ns"].min())
        assert max(row.max_ns for row in rows) == int(records["total_ns"].max())


def test_a_full_entry_of_the_cache_loses_nothing(counting: Counting) -> None:
    """70,000 exits that are all alike, where an entry counts 65,535."""
    counting.writer.reset()
    counting.feed(exits(70_000, total_ns=np.arange(70_000), user_ns=1))
    (row,) = counting.rows()
    assert (row.count, row.total_ns) == (70_000, 70_000 * 69_999 // 2)
    assert (row.min_ns, row.max_ns) == (0, 69_999)
    assert row.vmm_ns == 70_000  # cut to the whole time only, not to that of each exit


@pytest.mark.parametrize(
    ("fields", "halt"),
    [
        ({"isa": VMX, "reason": 12}, True),
        ({"isa": VMX, "reason": HLT}, False),
        ({"isa": SVM, "reason": HLT}, True),
        ({"isa": SVM, "reason": 0xA6}, True),
        ({"isa": SVM, "reason": 12}, False),
        ({"isa": ARM64, "reason": 0x01}, True),
        ({"isa": ARM64, "reason": 0x24}, False),
        ({"reason": INTR, "flags": SLEPT}, True),
        ({"reason": INTR, "flags": USER, "user_reason": KVM_EXIT_HLT}, True),
        ({"reason": INTR, "user_reason": KVM_EXIT_HLT}, False),
    ],
)
def test_a_halt_is_known_by_its_reason_its_sleep_or_its_return(
    counting: Counting, fields: dict[str, int], halt: bool
) -> None:
    """Each instruction set has its own numbers; a return without its flag is none."""
    counting.writer.reset()
    counting.feed(exits(1, total_ns=100, **fields))
    assert [row.halt for row in counting.rows()] == [halt]


def test_halts_and_nested_exits_are_groups_of_their_own_whatever_is_asked(
    counting: Counting,
) -> None:
    """The same reason four times: with neither, with one, with both."""
    counting.writer.reset()
    counting.feed(*(exits(1, reason=INTR, flags=flags) for flags in (0, SLEPT, NESTED)))
    counting.feed(exits(2, reason=INTR, flags=SLEPT | NESTED))
    for by in ALL_BY:
        figures = {(row.halt, row.nested): row.count for row in counting.rows(by)}
        assert figures == {(False, False): 1, (True, False): 1, (False, True): 1, (True, True): 2}


def test_who_handled_nested_exits_is_told_apart_whatever_is_asked(counting: Counting) -> None:
    """This host, the hypervisor in the guest, or the source could not tell."""
    counting.writer.reset()
    for times, flags in ((1, 0), (2, NESTED), (3, NESTED | L0), (4, NESTED | L1)):
        counting.feed(exits(times, reason=INTR, flags=flags))
    for by in ALL_BY:
        figures = {(row.nested, row.handler): row.count for row in counting.rows(by)}
        assert figures == {
            (False, 0): 1,
            (True, 0): 2,
            (True, HANDLER_L0): 3,
            (True, HANDLER_L1): 4,
        }


@pytest.mark.parametrize(("isa", "reason"), [(SVM, 0x78), (SVM, 0xA6), (VMX, 12)])
def test_a_nested_guest_that_halts_leaves_the_cpu_to_its_hypervisor(
    counting: Counting, isa: int, reason: int
) -> None:
    """It is a halt where this host handled it, or as far as it is known; or slept in it."""
    counting.writer.reset()
    for flags in (NESTED, NESTED | L0, NESTED | L1, NESTED | L1 | SLEPT):
        counting.feed(exits(1, isa=isa, reason=reason, flags=flags, total_ns=9, halt_ns=9))
    found = sorted((row.handler, row.halt, row.idle_ns, row.kvm_ns) for row in counting.rows())
    assert found == [
        (0, True, 0, 9),
        (HANDLER_L0, True, 0, 9),
        (HANDLER_L1, False, 0, 9),
        (HANDLER_L1, True, 9, 0),
    ]


def test_the_flags_of_vmx_are_no_part_of_a_reason(counting: Counting) -> None:
    """A failed entry is counted with its reason; SVM and arm64 keep all bits."""
    counting.writer.reset()
    counting.feed(exits(2, isa=VMX, reason=[0x80000021, 0x21]), exits(1, reason=0x80000021))
    figures = {(row.isa, row.reason): row.count for row in counting.rows()}
    assert figures == {(VMX, 0x21): 2, (SVM, 0x80000021): 1}


def test_returns_are_told_apart_and_an_interruption_is_one(counting: Counting) -> None:
    """No return, a return with its reason, only an interruption, an interruption and a return."""
    counting.writer.reset()
    counting.feed(
        exits(1, user_reason=KVM_EXIT_IO),
        exits(2, user_reason=KVM_EXIT_IO, flags=USER),
        exits(4, flags=EINTR),
        exits(8, user_reason=KVM_EXIT_IO, flags=USER | EINTR),
    )
    figures = {row.user_reason: row.count for row in counting.rows(By.RETURN)}
    assert figures == {NO_RETURN: 1, KVM_EXIT_IO: 10, KVM_EXIT_INTR: 4}


def test_records_that_are_no_exits_are_not_counted(counting: Counting) -> None:
    """Records of any other type, and records of zeros before and after an exit, change nothing."""
    counting.writer.reset()
    others = [exits(3, type=number, total_ns=7) for number in (0, *range(2, 9), 255)]
    blank = exits(2, type=0, isa=0, source=0, guest=0)
    last = exits(3, type=0, isa=0, source=0, total_ns=9)
    one = exits(1, isa=0, source=0, total_ns=9)
    counting.feed(
        blank, *(other for other in others if other["type"][0] != lib.KVMLOG_RECORD_GUEST)
    )
    counting.feed(one)
    counting.writer.flush()
    counting.feed(blank, last, one)
    snapshot = counting.snapshot()
    assert [(row.count, row.total_ns) for row in snapshot.rows(PER_REASON)] == [(2, 18)]
    assert Elements(snapshot).histogram_counts().tolist() == [2]
