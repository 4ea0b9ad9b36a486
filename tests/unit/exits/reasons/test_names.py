# SPDX-License-Identifier: GPL-2.0-or-later
"""Reason names against literal values of the vendors' manuals and the kernel's words."""

from __future__ import annotations

import pytest

from kvmlog.exits.reasons.names import lacks_reason, reason_flags, reason_name, user_reason_name
from kvmlog.native import lib
from kvmlog.ring.records import Record, decode_record
from tests.support import records as make

VMX, SVM, ARM64 = lib.KVMLOG_ISA_VMX, lib.KVMLOG_ISA_SVM, lib.KVMLOG_ISA_ARM64


@pytest.mark.parametrize(
    ("isa", "reason", "name"),
    [
        # Intel SDM volume 3, appendix C.
        (VMX, 0, "EXCEPTION_NMI"),
        (VMX, 1, "EXTERNAL_INTERRUPT"),
        (VMX, 10, "CPUID"),
        (VMX, 12, "HLT"),
        (VMX, 30, "IO_INSTRUCTION"),
        (VMX, 31, "MSR_READ"),
        (VMX, 32, "MSR_WRITE"),
        (VMX, 48, "EPT_VIOLATION"),
        (VMX, 49, "EPT_MISCONFIG"),
        (VMX, 52, "PREEMPTION_TIMER"),
        (VMX, 75, "NOTIFY"),
        (VMX, 11, "GETSEC"),
        (VMX, 66, "SPP"),
        (VMX, 77, "TDCALL"),
        (VMX, 78, "RDMSRLIST"),
        (VMX, 85, "MSR_WRITE_IMM"),
        # AMD APM volume 2, appendix C.
        (SVM, 0x00, "read_cr0"),
        (SVM, 0x4E, "PF excp"),
        (SVM, 0x60, "interrupt"),
        (SVM, 0x64, "vintr"),
        (SVM, 0x72, "cpuid"),
        (SVM, 0x78, "hlt"),
        (SVM, 0x7B, "io"),
        (SVM, 0x7C, "msr"),
        (SVM, 0x81, "hypercall"),
        (SVM, 0xA0, "invlpgb"),
        (SVM, 0xA4, "tlbsync"),
        (SVM, 0xA6, "idle-halt"),
        (SVM, 0x5D, "VC excp"),
        (SVM, 0x400, "npf"),
        (SVM, 0x401, "avic_incomplete_ipi"),
        (SVM, 0x403, "vmgexit"),
        (SVM, 0x80000004, "vmgexit_ap_hlt_loop"),
        (SVM, 0x8000001A, "vmgexit_savic"),
        (SVM, 0xFFFFFFFE, "busy"),
        (SVM, 0xFFFFFFFF, "invalid_guest_state"),
        # Arm ARM, ESR_EL2.EC.
        (ARM64, 0x01, "WFx"),
        (ARM64, 0x16, "HVC64"),
        (ARM64, 0x18, "SYS64"),
        (ARM64, 0x2D, "GCS"),
        (ARM64, 0x20, "IABT_LOW"),
        (ARM64, 0x24, "DABT_LOW"),
    ],
)
def test_reason_has_the_kernels_name(isa: int, reason: int, name: str) -> None:
    """A known code has the kernel's own name in its ISA's table."""
    assert reason_name(isa, reason) == name


@pytest.mark.parametrize(
    ("isa", "reason", "number"),
    [
        (VMX, 5, "0x5"),  # I/O SMI: in the SDM, not in the kernel's header
        (VMX, 17, "0x11"),  # RSM: to an SMM monitor, never to KVM
        (VMX, 35, "0x23"),  # reserved, as 38, 42, 71, 82 and 83
        (VMX, 42, "0x2a"),
        (VMX, 86, "0x56"),
        (VMX, 0x400, "0x400"),
        (SVM, 0x3FF, "0x3ff"),
        (SVM, 0x49, "0x49"),
        (ARM64, 0x3F, "0x3f"),
        (lib.KVMLOG_ISA_NONE, 12, "0xc"),
        (99, 0x7F, "0x7f"),
    ],
)
def test_unknown_reason_is_a_number(isa: int, reason: int, number: str) -> None:
    """A reason that the ISA's table does not have is never guessed from another table."""
    assert reason_name(isa, reason) == number


def test_same_number_is_named_by_isa() -> None:
    """0x12 is three different things."""
    names = [reason_name(isa, 0x12) for isa in (VMX, SVM, ARM64)]
    assert names == ["VMCALL", "write_cr2", "HVC32"]


def test_vmx_flags_do_not_disturb_the_name() -> None:
    """A failed entry (bit 31) with reason 33 is INVALID_STATE and FAILED_VMENTRY."""
    assert reason_name(VMX, 0x80000021) == "INVALID_STATE"
    assert reason_flags(VMX, 0x80000021) == ["FAILED_VMENTRY"]


def test_vmx_flags_are_told_lowest_first() -> None:
    """Bits 26, 27 and 31 have words; bit 16, which is reserved, is a number."""
    flags = reason_flags(VMX, 0x8C010000 | 74)
    assert flags == ["0x10000", "BUS_LOCK", "SGX_ENCLAVE_MODE", "FAILED_VMENTRY"]
    assert reason_flags(VMX, 1 << 25) == ["BUSY_SHADOW_STACK"]
    assert reason_flags(VMX, 3 << 28) == ["PENDING_MTF", "FROM_VMX_ROOT"]


def test_svm_high_bits_are_part_of_the_code() -> None:
    """SVM's 0x80000001 is a VMGEXIT event, not reason 1 with a flag."""
    assert reason_name(SVM, 0x80000001) == "vmgexit_mmio_read"
    assert reason_flags(SVM, 0x80000001) == []


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "KVM_EXIT_UNKNOWN"),
        (2, "KVM_EXIT_IO"),
        (5, "KVM_EXIT_HLT"),
        (6, "KVM_EXIT_MMIO"),
        (10, "KVM_EXIT_INTR"),
        (24, "KVM_EXIT_SYSTEM_EVENT"),
        (39, "KVM_EXIT_MEMORY_FAULT"),
        (43, "KVM_EXIT_SNP_REQ_CERTS"),
        (999, "KVM_EXIT_999"),
    ],
)
def test_user_reason_has_its_name(number: int, name: str) -> None:
    """Numbers of include/uapi/linux/kvm.h."""
    assert user_reason_name(number) == name


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({"isa": lib.KVMLOG_ISA_NONE}, True),
        ({"isa": lib.KVMLOG_ISA_NONE, "user_reason": 2, "user_exits": 1}, True),
        ({"isa": lib.KVMLOG_ISA_NONE, "reason": 1}, False),
        ({"isa": lib.KVMLOG_ISA_NONE, "total_ns": 1}, False),
        ({"isa": VMX}, False),
        ({"isa": SVM}, False),
    ],
)
def test_only_without_an_isa_a_zero_is_no_reason(fields: dict[str, int], lacks: bool) -> None:
    """VMX 0 is EXCEPTION_NMI, SVM 0 read_cr0; ISA none has no reason 0."""
    record = decode_record(make.exit_bytes(**fields))
    assert isinstance(record, Record)
    assert lacks_reason(record) is lacks
