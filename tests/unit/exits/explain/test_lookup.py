# SPDX-License-Identifier: GPL-2.0-or-later
"""Reasons are found by name, number and beginning, and each has something to say."""

from __future__ import annotations

import pytest

from kvmlog.exits.explain import lookup
from kvmlog.exits.explain.explanation import ELSEWHERE, NOT_USED, RARE
from kvmlog.exits.explain.vmx import FLAGS
from kvmlog.exits.reasons import arm64, svm, userspace, vmx

# What guests of these days produce, nested ones, SEV and TDX included.
MODERN_VMX = {
    *(0, 1, 2, 7, 8, 10, 12, 18, *range(19, 28), 28, 29, 30, 31, 32, 33, 36, 37, 39, 40),
    *(43, 44, 45, 46, 47, 48, 49, 50, 52, 53, 54, 55, 56, 58, 60, 62, 74, 75, 77, 84, 85),
}
MODERN_SVM = {
    *(0x00, 0x04, 0x08, 0x10, 0x14, 0x18, 0x27, 0x37, 0x41, 0x43, 0x46, 0x4D, 0x4E, 0x51, 0x52),
    *(0x60, 0x61, 0x62, 0x64, 0x65, 0x6E, 0x6F, 0x72, 0x73, 0x74, 0x76, 0x77, 0x78, 0x79, 0x7B),
    *(0x7C, 0x7F, *range(0x80, 0x86), 0x89, 0x8A, 0x8B, 0x8D, 0x8F, 0x90, 0x94, 0x98, 0xA2),
    *(0xA5, 0xA6, 0x400, 0x401, 0x402, 0x403, 0x80000001, 0x80000002, 0x80000004, 0x80000010),
    *(0x80000011, 0x80000013, 0x8000FFFD, 0xFFFFFFFF),
}
MODERN_ARM64 = {0x01, 0x07, 0x16, 0x17, 0x18, 0x19, 0x1D, 0x20, 0x24, 0x2F, 0x32, 0x3C}


def test_every_reason_has_a_meaning_of_one_line() -> None:
    """All four tables, nothing left out, no full stop, which the output adds."""
    for isa, names in (
        ("vmx", vmx.NAMES),
        ("svm", svm.NAMES),
        ("arm64", arm64.NAMES),
        ("kvm", userspace.NAMES),
    ):
        meanings = lookup.TABLES[isa].meanings
        assert sorted(names.keys() - meanings.keys()) == []
        assert [m for m in meanings.values() if not m or m.endswith(".") or "\n" in m] == []
        assert [m for m in meanings.values() if len(m) > 90] == []


@pytest.mark.parametrize(
    ("isa", "modern"),
    [
        ("vmx", MODERN_VMX),
        ("svm", MODERN_SVM),
        ("arm64", MODERN_ARM64),
        ("kvm", set(range(44))),
    ],
)
def test_every_modern_reason_is_explained(isa: str, modern: set[int]) -> None:
    """With a text of its own or of its kind, not the general one."""
    explained = lookup.TABLES[isa].explanations
    assert sorted(modern - explained.keys()) == []
    assert sorted(modern - lookup.TABLES[isa].names.keys()) == []
    assert [number for number in modern if explained[number] is RARE] == []


def test_texts_are_whole_sentences() -> None:
    """Each part ends with a full stop, and no remedy is empty."""
    texts = {one.explanation for one in lookup.all_reasons()}
    parts = [part for text in texts for part in (text.what, text.causes, *text.remedies)]
    assert [part for part in parts if not part.endswith(".")] == []
    assert [part for part in parts if part != part.strip() or "  " in part] == []


def test_what_is_rare_says_so() -> None:
    """A reason without a text of its own has the general one."""
    assert lookup.find("GETSEC")[0].explanation.causes.startswith("Rare:")
    assert lookup.find("RDRAND")[0].explanation is RARE
    assert lookup.find("skinit")[0].explanation is RARE
    assert lookup.find("KVM_EXIT_S390_TSCH")[0].explanation is ELSEWHERE
    assert lookup.find("KVM_EXIT_DCR")[0].explanation is NOT_USED


@pytest.mark.parametrize(
    ("vmx_number", "svm_code"),
    [
        (10, 0x72),
        (12, 0x78),
        (18, 0x81),
        (30, 0x7B),
        (31, 0x7C),
        (40, 0x77),
        (48, 0x400),
        (1, 0x60),
    ],
)
def test_vmx_and_svm_share_what_is_the_same(vmx_number: int, svm_code: int) -> None:
    """One text, one place to correct it."""
    tables = lookup.TABLES
    assert tables["vmx"].explanations[vmx_number] is tables["svm"].explanations[svm_code]


def found(query: str, isa: str | None = None) -> list[tuple[str, int]]:
    """(isa, number) of what is found."""
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
        # Other usual words.
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
    """An equal name goes before names that begin so."""
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
    """KVM_EXIT_* are of none."""
    assert found(query, isa) == reasons


def test_every_name_finds_its_reason() -> None:
    """As dump shows it, and as its number."""
    for one in lookup.all_reasons():
        assert one in lookup.find(one.name)
        assert one in lookup.find(hex(one.number))


def test_flags_of_a_whole_vmx_reason() -> None:
    """Each has words."""
    (one,) = lookup.find("0x84000021")
    assert one.flags == ("BUS_LOCK", "FAILED_VMENTRY")
    assert FLAGS.keys() == set(vmx.FLAGS.values())


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
    """What was probably meant stands first."""
    assert lookup.near(query, isa)[0] == first


@pytest.mark.parametrize("query", ["0x3ff", "", "zzzzzz"])
def test_nothing_near(query: str) -> None:
    """A number has no neighbours worth a word."""
    assert lookup.near(query) == []
