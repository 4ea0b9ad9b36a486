# SPDX-License-Identifier: GPL-2.0-or-later
"""Meaning of the detail of an exit, and its words."""

from __future__ import annotations

import pytest

from kvmlog.exits.decode import detail
from kvmlog.native import lib

VMX, SVM, ARM64 = lib.KVMLOG_ISA_VMX, lib.KVMLOG_ISA_SVM, lib.KVMLOG_ISA_ARM64


@pytest.mark.parametrize(
    ("isa", "reason", "value", "words"),
    [
        (VMX, 30, 0x3F8, "port 0x3f8 (com1)"),
        (SVM, 0x7B, 0x1234, "port 0x1234"),
        (VMX, 32, 0x6E0, "msr 0x6e0 (tsc-deadline)"),
        (VMX, 31, 0x124, "msr 0x124"),
        (SVM, 0x7C, 0xC0000080, "msr 0xc0000080 (efer)"),
        (VMX, 48, 0xFEE000B0, "gpa 0xfee000b0 (lapic eoi)"),
        (SVM, 0x400, 0xFEE000B0, "gpa 0xfee000b0 (lapic eoi)"),
        (ARM64, 0x24, 0x09000018, "gpa 0x9000018"),
        (VMX, 10, 0x1_0000_0004, "leaf 0x4 subleaf 0x1"),
        (SVM, 0x72, 0x8000001D, "leaf 0x8000001d subleaf 0x0"),
        # ECX means something for leaves with subleaves only.
        (SVM, 0x72, 0x1234_40000000, "leaf 0x40000000"),
        (VMX, 10, 0x5678_00000001, "leaf 0x1"),
        (VMX, 0, 14, "vector 0xe (#PF)"),
        (VMX, 1, 0xEC, "vector 0xec (timer)"),
        (VMX, 1, 0x22, "vector 0x22"),
        (VMX, 0, 2, "vector 0x2 (NMI)"),
        # A vector of the guest's own choice.
        (VMX, 45, 0xEC, "vector 0xec"),
        # As the tests in virtual machines read them.
        (SVM, 0x72, 0, "leaf 0x0"),
        (SVM, 0x7B, 0x3F8, "port 0x3f8 (com1)"),
        (SVM, 0x7B, 0x501, "port 0x501 (debug-exit)"),
        (SVM, 0x7C, 0x1A0, "msr 0x1a0 (misc-enable)"),
        (SVM, 0x400, 0xD0000000, "gpa 0xd0000000"),
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


@pytest.mark.parametrize(
    ("reason", "info1", "detail_value", "words"),
    [
        # Intel SDM, exit qualification of MOV CR (number 3:0, type 5:4) and MOV DR (2:0, 4).
        (28, 0x003, 3, "mov to cr3"),
        (28, 0x018, 8, "mov from cr8"),
        (28, 0x020, 0, "clts"),
        (28, 0x030, 0, "lmsw"),
        (29, 0x007, 7, "mov to dr7"),
        (29, 0x016, 6, "mov from dr6"),
        (30, 0x03F80000, 0x3F8, "port 0x3f8 (com1)"),
    ],
)
def test_vmx_register_access_has_its_direction(
    reason: int, info1: int, detail_value: int, words: str
) -> None:
    """The direction comes from the qualification; SVM's reason has it already."""
    assert detail.detail_words(VMX, reason, detail_value, info1) == words
    assert detail.detail_words(SVM, 0x18, 8, 1 << 63) == "cr8"


@pytest.mark.parametrize(
    ("isa", "reason", "value", "name", "note"),
    [
        (VMX, 30, 0x3F8, "com1", "serial port"),
        (SVM, 0x7B, 0x501, "debug-exit", "likely QEMU's isa-debug-exit at its default address"),
        (SVM, 0x7B, 0x1234, None, None),
        (SVM, 0x7B, 0xC040, "pci-bar", "likely an I/O BAR of a PCI device"),
        (VMX, 48, 0xD0000000, None, "likely the PCI hole: memory BARs of devices"),
        (SVM, 0x400, 0xFED000F0, "hpet counter", "HPET timer"),
        (ARM64, 0x24, 0xFEE000B0, None, None),
        (VMX, 10, 0x1_00000007, "features-7", None),
        (SVM, 0x72, 0x40000001, "kvm-features", None),
        (SVM, 0x72, 0x1234, None, None),
        (ARM64, 0x16, 0x84000003, "psci-cpu-on", None),
        (VMX, 18, 11, "sched-yield", None),
        (VMX, 28, 3, None, None),
        (VMX, 12, 0, None, None),
    ],
)
def test_name_and_note_stand_apart(
    isa: int, reason: int, value: int, name: str | None, note: str | None
) -> None:
    """Words that do not fit the column, or are a guess, are for the JSON output."""
    assert detail.detail_name(isa, reason, value) == name
    assert detail.detail_note(isa, reason, value) == note


@pytest.mark.parametrize(
    ("isa", "reason", "value", "name"),
    [
        # The hypervisor in the guest need not be KVM ...
        (VMX, 18, 5, None),
        (SVM, 0x81, 10, None),
        (SVM, 0x7C, 0x40000000, None),
        (VMX, 32, 0x4B564D01, None),
        (SVM, 0x72, 0x40000001, None),
        # ... and has other devices at other addresses, ...
        (SVM, 0x400, 0xFEE000B0, None),
        (VMX, 48, 0xFED000F0, None),
        (VMX, 49, 0xB00FA000, None),
        # ... but the CPU, its ports and the host's vectors are what they are.
        (SVM, 0x7C, 0xC0000080, "efer"),
        (VMX, 10, 7, "features-7"),
        (VMX, 30, 0x3F8, "com1"),
        (VMX, 1, 0xEC, "timer"),
    ],
)
def test_what_the_hypervisor_of_a_nested_guest_defines_has_no_name(
    isa: int, reason: int, value: int, name: str | None
) -> None:
    """Names are those of this host's KVM and VMM, to which a nested guest does not talk."""
    whose = {"is_device": True, "is_nested": True}
    assert detail.detail_name(isa, reason, value, **whose) == name
    words = detail.detail_words(isa, reason, value, **whose)
    if name is None:
        assert "(" not in words
        assert detail.detail_name(isa, reason, value, is_device=True) is not None
        assert detail.detail_note(isa, reason, value, is_nested=True) is None


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
