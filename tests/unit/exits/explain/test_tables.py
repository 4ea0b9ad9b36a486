# SPDX-License-Identifier: GPL-2.0-or-later
"""Each reason has a meaning, and those that guests produce an explanation of their own."""

from __future__ import annotations

import pytest

from kvmlog.exits.explain import tables
from kvmlog.exits.explain.explanation import ELSEWHERE, NOT_USED, RARE, Explained
from kvmlog.exits.explain.vmx import FLAGS
from kvmlog.exits.reasons import lookup, vmx

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
    """The meanings cover every name, and end without the full stop that the output adds."""
    assert tables.MEANINGS.keys() == tables.EXPLANATIONS.keys() == lookup.TABLES.keys()
    for isa, names in lookup.TABLES.items():
        meanings = tables.MEANINGS[isa]
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
    """Each has a text of its own or of its kind, not the general one."""
    explained = tables.EXPLANATIONS[isa]
    assert sorted(modern - explained.keys()) == []
    assert sorted(modern - lookup.TABLES[isa].keys()) == []
    assert [number for number in modern if explained[number] is RARE] == []


def test_texts_are_whole_sentences() -> None:
    """Each part ends with a full stop, and no remedy is empty."""
    texts = {tables.explain(one).explanation for one in lookup.all_reasons()}
    parts = [part for text in texts for part in (text.what, text.causes, *text.remedies)]
    assert [part for part in parts if not part.endswith(".")] == []
    assert [part for part in parts if part != part.strip() or "  " in part] == []


def explained(query: str) -> Explained:
    """Return the first reason found, with its explanation."""
    return tables.explain(lookup.find(query)[0])


def test_what_is_rare_says_so() -> None:
    """A reason without a text of its own has the general one."""
    assert explained("GETSEC").explanation.causes.startswith("Rare:")
    assert explained("RDRAND").explanation is RARE
    assert explained("skinit").explanation is RARE
    assert explained("KVM_EXIT_S390_TSCH").explanation is ELSEWHERE
    assert explained("KVM_EXIT_DCR").explanation is NOT_USED


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
    """Both vendors' exits for the same event have one text."""
    texts = tables.EXPLANATIONS
    assert texts["vmx"][vmx_number] is texts["svm"][svm_code]


def test_every_vmx_flag_is_explained() -> None:
    """Each flag's name has a text, and none has one without a flag."""
    assert FLAGS.keys() == set(vmx.FLAGS.values())
