# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of exit reasons, chosen by the record's ISA.

A code that its table does not know is shown as a number, never guessed: the
same number means different things on Intel, AMD and arm64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.exits.reasons import arm64, svm, userspace, vmx
from kvmlog.native import lib
from kvmlog.ring.records import Record

_TABLES: Final[Mapping[int, Mapping[int, str]]] = {
    lib.KVMLOG_ISA_VMX: vmx.NAMES,
    lib.KVMLOG_ISA_SVM: svm.NAMES,
    lib.KVMLOG_ISA_ARM64: arm64.NAMES,
}

# Reasons whose exit is a halt, those of bridge/native/statistics/kinds.c.
_HALTS: Final = frozenset(
    {
        (lib.KVMLOG_ISA_VMX, lib.KVMLOG_VMX_HLT),
        (lib.KVMLOG_ISA_SVM, lib.KVMLOG_SVM_HLT),
        (lib.KVMLOG_ISA_SVM, lib.KVMLOG_SVM_IDLE_HLT),
        (lib.KVMLOG_ISA_ARM64, lib.KVMLOG_ARM64_WFX),
    }
)

_ISA_NAMES: Final[Mapping[int, str]] = {
    lib.KVMLOG_ISA_NONE: "none",
    lib.KVMLOG_ISA_VMX: "vmx",
    lib.KVMLOG_ISA_SVM: "svm",
    lib.KVMLOG_ISA_ARM64: "arm64",
}


def isa_name(isa: int) -> str:
    """Return "vmx", "svm", "arm64" or "none"; a number for an unknown one."""
    return _ISA_NAMES.get(isa, hex(isa))


def lacks_reason(record: Record) -> bool:
    """Return whether the record has neither reason nor times: its zeros were not measured.

    The source bpf writes such ones where KVM shows it no exits (neither kvm_amd nor
    kvm_intel runs): one for each return from KVM_RUN, with user_reason only.
    """
    return record.isa == lib.KVMLOG_ISA_NONE and not record.reason and not record.total_ns


def halted_ns(record: Record) -> int:
    """Return how long the vCPU halted in the kernel, in ns; of a halt under way, up to now.

    KVM tells of a halt at its end only: halt_ns of a record from the middle of one is 0.
    """
    # A nested guest that halts leaves the CPU to its hypervisor.
    under_way = (
        record.flags & lib.KVMLOG_F_NO_REENTRY
        and not record.user_exits
        and not record.flags & lib.KVMLOG_F_NESTED_L1
    )
    if under_way and (record.isa, basic_reason(record.isa, record.reason)) in _HALTS:
        return record.total_ns
    return record.halt_ns


def is_mmio(record: Record) -> bool:
    """Return whether the VMM emulated an access to a device's memory: KVM_EXIT_MMIO."""
    returned = record.flags & lib.KVMLOG_F_USER_REASON
    return bool(returned) and record.user_reason == userspace.MMIO


def is_nested(record: Record) -> bool:
    """Return whether it left a nested guest (L2), to which another hypervisor (L1) talks."""
    return bool(record.flags & lib.KVMLOG_F_NESTED)


def basic_reason(isa: int, reason: int) -> int:
    """Return `reason` without the flags that VMX keeps in its high half."""
    if isa == lib.KVMLOG_ISA_VMX:
        return reason & int(lib.KVMLOG_VMX_BASIC_MASK)
    return reason


def reason_name(isa: int, reason: int) -> str:
    """Return the kernel's name of an exit reason, without flags.

    isa: enum kvmlog_isa; reason: u32 as the record has it. Unknown: a number
    such as "0x7f".
    """
    basic = basic_reason(isa, reason)
    return _TABLES.get(isa, {}).get(basic) or hex(basic)


def reason_flags(isa: int, reason: int) -> list[str]:
    """Return the flags of a VMX exit reason in words, lowest bit first.

    A bit without a word is a number. Other ISAs have no flags in the reason.
    """
    if isa != lib.KVMLOG_ISA_VMX:
        return []
    flags = reason & ~lib.KVMLOG_VMX_BASIC_MASK
    bits = [1 << bit for bit in range(16, 32) if flags & (1 << bit)]
    return [vmx.FLAGS.get(bit, hex(bit)) for bit in bits]


def user_reason_name(number: int) -> str:
    """Return the name of a KVM_EXIT_* number, for example "KVM_EXIT_IO".

    Unknown: a number such as "KVM_EXIT_99".
    """
    return userspace.NAMES.get(number, f"KVM_EXIT_{number}")
