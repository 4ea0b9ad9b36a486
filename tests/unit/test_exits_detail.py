# SPDX-License-Identifier: GPL-2.0-or-later
"""What the detail of an exit means, and how it is said."""

from __future__ import annotations

import pytest

from kvmlog.bridge._native import lib
from kvmlog.exits import detail

VMX, SVM, ARM64 = lib.KVMLOG_ISA_VMX, lib.KVMLOG_ISA_SVM, lib.KVMLOG_ISA_ARM64


@pytest.mark.parametrize(
    ("isa", "reason", "value", "words"),
    [
        (VMX, 30, 0x3F8, "port 0x3f8 (com1)"),
        (SVM, 0x7B, 0x1234, "port 0x1234"),
        (VMX, 32, 0x6E0, "msr 0x6e0 (tsc-deadline)"),
        (VMX, 31, 0x123, "msr 0x123"),
        (SVM, 0x7C, 0xC0000080, "msr 0xc0000080 (efer)"),
        (VMX, 48, 0xFEE000B0, "gpa 0xfee000b0"),
        (SVM, 0x400, 0xFEE000B0, "gpa 0xfee000b0"),
        (ARM64, 0x24, 0x09000018, "gpa 0x9000018"),
        (VMX, 10, 0x1_0000_0004, "leaf 0x4 subleaf 0x1"),
        (SVM, 0x72, 0x40000000, "leaf 0x40000000 subleaf 0x0"),
        (VMX, 0, 14, "vector 0xe (#PF)"),
        (VMX, 1, 0xEC, "vector 0xec"),
        (SVM, 0x46, 6, "vector 0x6 (#UD)"),
        (SVM, 0x4E, 14, "vector 0xe (#PF)"),
        (VMX, 18, 5, "hypercall 5 (kick-cpu)"),
        (SVM, 0x81, 10, "hypercall 10 (send-ipi)"),
        (SVM, 0x81, 77, "hypercall 77"),
        (SVM, 0x81, 2**64 - 1, "hypercall 0xffffffffffffffff"),
        (ARM64, 0x16, 0x84000000, "function 0x84000000"),
        (VMX, 28, 8, "cr8"),
        (SVM, 0x18, 8, "cr8"),
        (SVM, 0x90, 0, "cr0"),
        (VMX, 29, 7, "dr7"),
        (SVM, 0x37, 7, "dr7"),
        (SVM, 0x79, 0x1000, "gva 0x1000"),
    ],
)
def test_detail_words(isa: int, reason: int, value: int, words: str) -> None:
    """Each kind of detail has its word; well-known numbers have a name beside them."""
    assert detail.detail_words(isa, reason, value) == words


@pytest.mark.parametrize(("isa", "reason"), [(VMX, 12), (SVM, 0x78), (ARM64, 1), (0, 30), (9, 9)])
def test_reasons_without_detail(isa: int, reason: int) -> None:
    """No kind; a value that is there all the same is shown, without a claim."""
    assert detail.detail_kind(isa, reason) == lib.KVMLOG_DETAIL_NONE
    assert detail.detail_words(isa, reason, 0x55) == "detail 0x55"


def test_vmx_flags_do_not_change_the_kind() -> None:
    """The bus-lock flag rides on any reason."""
    assert detail.detail_kind(VMX, (1 << 26) | 30) == lib.KVMLOG_DETAIL_PORT


def test_every_kind_of_the_header_has_words_and_a_name() -> None:
    """No value of enum kvmlog_detail is left without a word."""
    for kind in range(lib.KVMLOG_DETAIL_NONE, lib.KVMLOG_DETAIL_GVA + 1):
        assert not detail.detail_kind_name(kind).startswith("0x")
