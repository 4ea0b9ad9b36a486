# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys that details are counted under: exact, a range, or a device's page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvmlog.exits.decode import gpa
from kvmlog.native import lib
from kvmlog.ring.statistics.reader import (
    DETAIL_DEVICE,
    DETAIL_EXACT,
    DETAIL_NONE,
    DETAIL_OTHER,
    DETAIL_REGION,
    By,
    Row,
)
from tests.support.statistics_feed import ALL_BY, Counting, add_up, exits, note

VALID, USER = lib.KVMLOG_F_DETAIL_VALID, lib.KVMLOG_F_USER_REASON
VMX, SVM, ARM64 = lib.KVMLOG_ISA_VMX, lib.KVMLOG_ISA_SVM, lib.KVMLOG_ISA_ARM64
CPUID, IO, NPF, EPT_VIOLATION, EPT_MISCONFIG = 0x72, 0x7B, 0x400, 48, 49
KVM_EXIT_MMIO = 6
GIB = 1 << 30
MEMORY = 0x1_2345_6789
KEYS = lib.KVMLOG_STATISTICS_DETAILS
BY_DETAIL = By.GUEST | By.REASON | By.DETAIL


def kinds(rows: list[Row]) -> dict[int, int]:
    """Return the number of rows of each kind of detail."""
    found = [row.detail_kind for row in rows]
    return {kind: found.count(kind) for kind in set(found)}


@pytest.mark.parametrize(
    ("fields", "kind", "key"),
    [
        ({"reason": IO, "detail": 0x3F8}, DETAIL_EXACT, 0x3F8),
        ({"reason": IO, "detail": MEMORY}, DETAIL_EXACT, MEMORY),
        ({"reason": NPF, "detail": MEMORY}, DETAIL_REGION, 4 * GIB),
        ({"reason": NPF, "detail": 5}, DETAIL_REGION, 0),
        ({"reason": NPF, "detail": 2**64 - 1}, DETAIL_REGION, 2**64 - GIB),
        ({"reason": 0x79, "detail": MEMORY}, DETAIL_REGION, 4 * GIB),
        ({"isa": VMX, "reason": EPT_VIOLATION, "detail": MEMORY}, DETAIL_REGION, 4 * GIB),
        ({"isa": VMX, "reason": 14, "detail": MEMORY}, DETAIL_REGION, 4 * GIB),
        ({"isa": VMX, "reason": EPT_MISCONFIG, "detail": MEMORY}, DETAIL_EXACT, MEMORY),
        ({"isa": VMX, "reason": NPF, "detail": MEMORY}, DETAIL_EXACT, MEMORY),
        ({"isa": SVM, "reason": EPT_VIOLATION, "detail": MEMORY}, DETAIL_EXACT, MEMORY),
        ({"isa": ARM64, "reason": NPF, "detail": MEMORY}, DETAIL_EXACT, MEMORY),
        # Devices: the VMM was asked, or KVM has them at known places.
        (
            {"reason": NPF, "detail": MEMORY, "flags": USER, "user_reason": KVM_EXIT_MMIO},
            DETAIL_EXACT,
            MEMORY,
        ),
        ({"reason": NPF, "detail": MEMORY, "user_reason": KVM_EXIT_MMIO}, DETAIL_REGION, 4 * GIB),
        ({"reason": NPF, "detail": 0xFEC00000}, DETAIL_EXACT, 0xFEC00000),
        ({"reason": NPF, "detail": 0xFEE00300}, DETAIL_EXACT, 0xFEE00300),
        ({"reason": NPF, "detail": 0xFEBFFFFF}, DETAIL_REGION, 3 * GIB),
        ({"reason": NPF, "detail": 0xFEF00000}, DETAIL_REGION, 3 * GIB),
        # CPUID looks at ECX for some leaves only, and never in the range of hypervisors.
        ({"reason": CPUID, "detail": 0x1234_00000001}, DETAIL_EXACT, 1),
        ({"reason": CPUID, "detail": 0x2_00000004}, DETAIL_EXACT, 0x2_00000004),
        ({"reason": CPUID, "detail": 0x1_8000001D}, DETAIL_EXACT, 0x1_8000001D),
        ({"isa": VMX, "reason": 10, "detail": 0x9_00000002}, DETAIL_EXACT, 2),
        ({"isa": VMX, "reason": 10, "detail": 0x9_0000000D}, DETAIL_EXACT, 0x9_0000000D),
        ({"isa": VMX, "reason": CPUID, "detail": 0x9_00000002}, DETAIL_EXACT, 0x9_00000002),
        ({"reason": CPUID, "detail": 0x7_400001FF}, DETAIL_EXACT, 0x400001FF),
        ({"reason": CPUID, "detail": 0x7_40000200}, DETAIL_REGION, 0x40000200),
        ({"reason": CPUID, "detail": 0x4FFFFFFF}, DETAIL_REGION, 0x40000200),
        ({"isa": VMX, "reason": 10, "detail": 0x4000FF00}, DETAIL_REGION, 0x40000200),
        ({"reason": CPUID, "detail": 0x50000000}, DETAIL_EXACT, 0x50000000),
        ({"reason": 0x7C, "detail": 0x40000200}, DETAIL_EXACT, 0x40000200),
    ],
)
def test_a_detail_is_counted_under_its_key(
    tmp_path: Path, fields: dict[str, int], kind: int, key: int
) -> None:
    """Addresses in memory are rounded down to 1 GiB; what CPUID does not look at is left out."""
    flags = fields.pop("flags", 0)
    with Counting(tmp_path) as counting:
        counting.feed(exits(1, flags=VALID | flags, **fields))
        (row,) = counting.rows(BY_DETAIL)
    assert (row.detail_kind, row.detail) == (kind, key)


def test_without_its_flag_there_is_no_detail(tmp_path: Path) -> None:
    """A detail of 0 is not the same as none, whatever the field holds."""
    with Counting(tmp_path) as counting:
        counting.feed(exits(2, reason=IO, detail=[7, 8]), exits(1, reason=IO, flags=VALID))
        counted = {(row.detail_kind, row.detail): row.count for row in counting.rows(BY_DETAIL)}
    assert counted == {(DETAIL_NONE, 0): 2, (DETAIL_EXACT, 0): 1}


REGIONS = ((0xB0000000, 0xBFFFFFFF, 0x1000), (0xFEE00000, 0xFEE00FFF, 0))


def test_addresses_of_one_device_are_one_group(tmp_path: Path) -> None:
    """Regions of the table are keys, or each address is; ports and memory are what they were."""
    accesses = [0xB0008000, 0xB0008004, 0xB0008FFF, 0xB0009000, 0xFEE000B0, 0xFEE00300, 0xC0000001]
    mmio = {"flags": VALID | USER, "user_reason": KVM_EXIT_MMIO}
    total = {"total_ns": [1, 2, 4, 8, 16, 32, 64]}
    with Counting(tmp_path) as counting:
        for isa, reason in ((SVM, NPF), (VMX, EPT_VIOLATION)):
            counting.feed(exits(7, isa=isa, reason=reason, detail=accesses, **mmio, **total))
        counting.feed(exits(2, reason=IO, flags=VALID, detail=[0xB0008000, 0xB0008004]))
        counting.feed(exits(1, reason=NPF, flags=VALID, detail=MEMORY))
        snapshot = counting.snapshot()
    rows = snapshot.rows(By.REASON | By.DETAIL, regions=REGIONS)
    grouped = {0xB0008000: 7, 0xB0009000: 8, 0xFEE00000: 48, 0xC0000001: 64}
    for isa, reason in ((SVM, NPF), (VMX, EPT_VIOLATION)):
        devices = [row for row in rows if row.detail_kind == DETAIL_DEVICE and row.isa == isa]
        assert {row.reason for row in devices} == {reason}
        assert {row.detail: row.total_ns for row in devices} == grouped
        assert [(row.count, row.min_ns, row.max_ns) for row in devices if row.total_ns == 7] == [
            (3, 1, 4)
        ]
    assert {row.detail: row.detail_kind for row in rows if row.reason == IO} == {
        0xB0008000: DETAIL_EXACT,
        0xB0008004: DETAIL_EXACT,
    }
    assert kinds(rows) == {DETAIL_DEVICE: 8, DETAIL_EXACT: 2, DETAIL_REGION: 1}
    # In PCI's configuration space they are one in the file, too.
    assert kinds(snapshot.rows(BY_DETAIL)) == {DETAIL_EXACT: 8, DETAIL_DEVICE: 4, DETAIL_REGION: 1}


@pytest.mark.parametrize("region", [one for one in gpa.REGIONS if one.name == "ecam"])
def test_each_function_in_configuration_space_is_one_detail(
    tmp_path: Path, region: gpa.Region
) -> None:
    """Where the names have it, and only there: an address beside it is kept as it is."""
    mmio = {"flags": VALID | USER, "user_reason": KVM_EXIT_MMIO}
    places = [region.first - 4, region.first + 8, region.last - 3, region.last + 5]
    with Counting(tmp_path) as counting:
        counting.feed(exits(4, reason=NPF, detail=places, **mmio))
        # RAM may be there as well.
        counting.feed(exits(1, reason=NPF, detail=region.first + 8, flags=VALID))
        counted = {(row.detail_kind, row.detail) for row in counting.rows(BY_DETAIL)}
    assert counted == {
        (DETAIL_EXACT, region.first - 4),
        (DETAIL_DEVICE, region.first),
        (DETAIL_DEVICE, region.last - 0xFFF),
        (DETAIL_EXACT, region.last + 5),
        (DETAIL_REGION, region.first // GIB * GIB),
    }


def test_addresses_of_a_nested_guest_are_no_devices(tmp_path: Path) -> None:
    """Nothing is known of what lies where in it: not by the file, and not by who reads it."""
    nested = {"flags": VALID | USER | lib.KVMLOG_F_NESTED, "user_reason": KVM_EXIT_MMIO}
    addresses = [0xB0008000, 0xB0008004, 0xFEE000B0, 0xFEE00300]
    with Counting(tmp_path) as counting:
        counting.feed(exits(4, reason=NPF, detail=addresses, **nested))
        rows = counting.snapshot().rows(BY_DETAIL, regions=REGIONS)
    assert {(row.detail_kind, row.detail) for row in rows} == {
        (DETAIL_EXACT, address) for address in addresses
    }


def test_a_scan_of_addresses_leaves_room_for_details(tmp_path: Path) -> None:
    """Addresses of devices share their pages from the 129th on; ports never do."""
    mmio = {"flags": VALID | USER, "user_reason": KVM_EXIT_MMIO}
    scanned = 0xC0000000 + 4 * np.arange(4 * KEYS)
    with Counting(tmp_path) as counting:
        counting.feed(exits(4 * KEYS, reason=NPF, detail=scanned, **mmio))
        counting.writer.flush()
        counting.feed(exits(3, reason=NPF, detail=0xFEB00004, **mmio))
        rows = counting.rows(BY_DETAIL)
    assert kinds(rows) == {DETAIL_EXACT: KEYS // 2, DETAIL_DEVICE: 2}
    (page,) = [row for row in rows if row.detail == 0xC0000000 and row.count > 1]
    assert page.count == 4 * KEYS - KEYS // 2
    (later,) = [row for row in rows if row.detail == 0xFEB00000]
    assert (later.count, later.detail_kind) == (3, DETAIL_DEVICE)


def test_a_lack_of_room_does_not_use_up_the_keys_of_a_reason(tmp_path: Path) -> None:
    """Details are told apart again as soon as there is room for rows."""
    with Counting(tmp_path) as counting:
        rows = counting.writer.header().rows_capacity
        counting.feed(note(2, 200), exits(rows, guest=2, vcpu=np.arange(rows)))
        counting.feed(note(3, 300))
        for number in range(KEYS + 10):
            counting.feed(exits(1, guest=3, reason=IO, flags=VALID, detail=number))
            counting.writer.flush()
        assert counting.snapshot().overflow_rows > 0
        (full,) = [guest.id for guest in counting.writer.guests() if guest.number == 2]
        counting.forget(full)
        counting.feed(exits(20, guest=3, reason=IO, flags=VALID, detail=np.arange(20)))
        found = counting.rows(BY_DETAIL)
    assert kinds(found) == {DETAIL_EXACT: 20, DETAIL_OTHER: 1}
    # What had no row meanwhile is not lost.
    assert {row.count for row in found if row.detail_kind == DETAIL_OTHER} == {KEYS + 10}


def test_sums_by_vcpu_detail_and_return_equal_those_by_reason(tmp_path: Path) -> None:
    """The limit is per guest and reason, whatever else the exits differ in."""
    random = np.random.default_rng(11)
    count = 20_000
    with Counting(tmp_path, mib=8) as counting:
        counting.feed(
            exits(
                count,
                guest=random.integers(1, 5, count),
                vcpu=random.integers(0, 8, count),
                reason=random.choice([IO, NPF, 0x78, 0x7C], count),
                flags=random.integers(0, 2**10, count),
                user_reason=random.integers(0, 7, count),
                detail=random.integers(0, 400, count) * random.choice([1, GIB], count),
                total_ns=random.integers(0, 10**7, count),
                user_ns=random.integers(0, 10**7, count),
            )
        )
        snapshot = counting.snapshot()
    rows = {by: snapshot.rows(by) for by in ALL_BY}
    assert (snapshot.overflow, snapshot.overflow_rows, snapshot.overflow_histogram) == (0, 0, 0)
    for field in ("count", "total_ns", "kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns"):
        assert len({add_up(found, field) for found in rows.values()}) == 1, field
    per_group = [
        {(row.guest, row.reason, row.nested, row.halt): 0 for row in snapshot.rows(BY_DETAIL)}
        for _ in range(4)
    ]
    for sums, kind in zip(per_group, (By(0), By.VCPU, By.DETAIL, By.RETURN), strict=True):
        for row in rows[By.GUEST | By.REASON | kind]:
            sums[row.guest, row.reason, row.nested, row.halt] += row.total_ns
    assert per_group[1:] == per_group[:1] * 3
