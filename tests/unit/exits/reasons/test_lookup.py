# SPDX-License-Identifier: GPL-2.0-or-later
"""Reasons are found by name, number and beginning of a name."""

from __future__ import annotations

import pytest

from kvmlog.exits.reasons import lookup


def found(query: str, isa: str | None = None) -> list[tuple[str, int]]:
    """Return (isa, number) of each reason found."""
    return [(one.isa, one.number) for one in lookup.find(query, isa)]


@pytest.mark.parametrize(
    ("query", "reasons"),
    [
        ("hlt", [("vmx", 12), ("svm", 0x78), ("kvm", 5)]),
        ("HLT", [("vmx", 12), ("svm", 0x78), ("kvm", 5)]),
        ("EPT_VIOLATION", [("vmx", 48)]),
        ("ept-violation", [("vmx", 48)]),
        ("ept violation", [("vmx", 48)]),
        ("EXIT_REASON_EPT_VIOLATION", [("vmx", 48)]),
        ("npf", [("svm", 0x400)]),
        ("SVM_EXIT_NPF", [("svm", 0x400)]),
        ("VMEXIT_IOIO", [("svm", 0x7B)]),
        ("KVM_EXIT_MMIO", [("kvm", 6)]),
        ("KVM_EXIT_HLT", [("kvm", 5)]),
        ("EXIT_REASON_HLT", [("vmx", 12)]),
        ("ESR_ELx_EC_HVC64", [("arm64", 0x16)]),
        ("#PF", [("svm", 0x4E)]),
        ("PF excp", [("svm", 0x4E)]),
        # Synonyms.
        ("io", [("vmx", 30), ("svm", 0x7B), ("kvm", 2)]),
        ("vmcall", [("vmx", 18), ("svm", 0x81)]),
        ("wfi", [("arm64", 1)]),
        ("mmio", [("vmx", 49), ("svm", 0x400), ("arm64", 0x24), ("kvm", 6)]),
        ("vmgexit", [("svm", 0x403)]),
        # Beginnings.
        ("ept", [("vmx", 48), ("vmx", 49)]),
        ("avic", [("svm", 0x401), ("svm", 0x402)]),
        ("ept_mis", [("vmx", 49)]),
        ("KVM_EXIT_MEM", [("kvm", 39)]),
        # Numbers, in any base.
        ("0x7b", [("svm", 0x7B)]),
        ("123", [("svm", 0x7B)]),
        ("0X400", [("svm", 0x400)]),
        ("48", [("vmx", 48), ("svm", 0x30), ("arm64", 0x30)]),
        ("0x80000021", [("vmx", 33)]),
        ("0x80000001", [("vmx", 1), ("svm", 0x80000001)]),
        ("0xffffffff", [("svm", 0xFFFFFFFF)]),
        # Nothing.
        ("", []),
        ("   ", []),
        ("hltt", []),
        ("0x3ff", []),
        ("-1", []),
        ("0x80010021", []),
        ("0x180000021", []),
        ("EXIT_REASON_NPF", []),
        ("kvm_exit_npf", []),
    ],
)
def test_find(query: str, reasons: list[tuple[str, int]]) -> None:
    """An equal name takes precedence over names that begin with the query."""
    assert found(query) == reasons


@pytest.mark.parametrize(
    ("query", "isa", "reasons"),
    [
        ("hlt", "vmx", [("vmx", 12)]),
        ("hlt", "svm", [("svm", 0x78)]),
        ("hlt", "arm64", []),
        ("48", "arm64", [("arm64", 0x30)]),
        ("0x80000001", "svm", [("svm", 0x80000001)]),
        ("0x80000001", "vmx", [("vmx", 1)]),
        ("KVM_EXIT_HLT", "vmx", []),
        ("EXIT_REASON_HLT", "svm", []),
    ],
)
def test_find_of_one_isa(query: str, isa: str, reasons: list[tuple[str, int]]) -> None:
    """Only reasons of that ISA are found; KVM_EXIT_* belong to none."""
    assert found(query, isa) == reasons


def test_every_name_finds_its_reason() -> None:
    """The name that dump shows and the number both find it."""
    for one in lookup.all_reasons():
        assert one in lookup.find(one.name)
        assert one in lookup.find(hex(one.number))


def test_flags_of_a_whole_vmx_reason() -> None:
    """A VMX exit reason with flags is looked up by its low half; the flags are named."""
    (one,) = lookup.find("0x84000021")
    assert one.flags == ("BUS_LOCK", "FAILED_VMENTRY")


@pytest.mark.parametrize(
    ("query", "isa", "first"),
    [
        ("hltt", None, "HLT"),
        ("ept_violaton", None, "EPT_VIOLATION"),
        ("KVM_EXIT_MIMO", None, "KVM_EXIT_MMIO"),
        ("cpuidd", "svm", "cpuid"),
        ("violation", None, "EPT_VIOLATION"),
        ("7b", None, "0x7b"),
    ],
)
def test_near(query: str, isa: str | None, first: str) -> None:
    """The most similar name comes first."""
    assert lookup.near(query, isa)[0] == first


@pytest.mark.parametrize("query", ["0x3ff", "", "zzzzzz"])
def test_nothing_near(query: str) -> None:
    """Numbers and queries like no name have no suggestions."""
    assert lookup.near(query) == []
