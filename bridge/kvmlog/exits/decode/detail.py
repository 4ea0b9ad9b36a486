# SPDX-License-Identifier: GPL-2.0-or-later
"""What a record's `detail` is, per (isa, reason), and how to say it.

Whether the field holds anything is told by KVMLOG_F_DETAIL_VALID, not here.
Sources: VMX: Intel SDM volume 3, "Basic Exit Reasons" and "Exit Qualification";
SVM: AMD APM volume 2, chapter 15 (EXITINFO1, EXITINFO2 per intercept); arm64:
Arm ARM DDI 0487, ESR_EL2 and HPFAR_EL2, and the SMC Calling Convention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kvmlog.exits.decode import msrs, ports, qualification_vmx, registers
from kvmlog.exits.decode.gpa import gpa_name, gpa_note
from kvmlog.exits.reasons import arm64, svm, vmx
from kvmlog.exits.reasons.names import basic_reason
from kvmlog.native import lib

_VMX: Final[Mapping[int, int]] = {
    lib.KVMLOG_VMX_EXCEPTION_NMI: lib.KVMLOG_DETAIL_VECTOR,
    lib.KVMLOG_VMX_EXTERNAL_INTERRUPT: lib.KVMLOG_DETAIL_VECTOR,
    lib.KVMLOG_VMX_CPUID: lib.KVMLOG_DETAIL_CPUID,
    lib.KVMLOG_VMX_INVLPG: lib.KVMLOG_DETAIL_GVA,
    lib.KVMLOG_VMX_VMCALL: lib.KVMLOG_DETAIL_HYPERCALL,
    lib.KVMLOG_VMX_CR_ACCESS: lib.KVMLOG_DETAIL_CR,
    lib.KVMLOG_VMX_DR_ACCESS: lib.KVMLOG_DETAIL_DR,
    lib.KVMLOG_VMX_IO_INSTRUCTION: lib.KVMLOG_DETAIL_PORT,
    lib.KVMLOG_VMX_MSR_READ: lib.KVMLOG_DETAIL_MSR,
    lib.KVMLOG_VMX_MSR_WRITE: lib.KVMLOG_DETAIL_MSR,
    lib.KVMLOG_VMX_EOI_INDUCED: lib.KVMLOG_DETAIL_VECTOR,
    lib.KVMLOG_VMX_EPT_VIOLATION: lib.KVMLOG_DETAIL_GPA,
    lib.KVMLOG_VMX_EPT_MISCONFIG: lib.KVMLOG_DETAIL_GPA,
    vmx.NUMBERS["MSR_READ_IMM"]: lib.KVMLOG_DETAIL_MSR,
    vmx.NUMBERS["MSR_WRITE_IMM"]: lib.KVMLOG_DETAIL_MSR,
}

_SVM_CRS: Final = range(lib.KVMLOG_SVM_READ_CR0, lib.KVMLOG_SVM_READ_DR0)
_SVM_DRS: Final = range(lib.KVMLOG_SVM_READ_DR0, lib.KVMLOG_SVM_EXCP_BASE)
_SVM_EXCEPTIONS: Final = range(lib.KVMLOG_SVM_EXCP_BASE, lib.KVMLOG_SVM_LAST_EXCP + 1)
_SVM_CR_TRAPS: Final = range(svm.NUMBERS["write_cr0_trap"], svm.NUMBERS["write_cr15_trap"] + 1)

_SVM: Final[Mapping[int, int]] = {
    **dict.fromkeys(_SVM_CRS, lib.KVMLOG_DETAIL_CR),
    **dict.fromkeys(_SVM_DRS, lib.KVMLOG_DETAIL_DR),
    **dict.fromkeys(_SVM_EXCEPTIONS, lib.KVMLOG_DETAIL_VECTOR),
    svm.NUMBERS["cr0_sel_write"]: lib.KVMLOG_DETAIL_CR,
    lib.KVMLOG_SVM_CPUID: lib.KVMLOG_DETAIL_CPUID,
    svm.NUMBERS["swint"]: lib.KVMLOG_DETAIL_VECTOR,
    lib.KVMLOG_SVM_INVLPG: lib.KVMLOG_DETAIL_GVA,
    lib.KVMLOG_SVM_IOIO: lib.KVMLOG_DETAIL_PORT,
    lib.KVMLOG_SVM_MSR: lib.KVMLOG_DETAIL_MSR,
    lib.KVMLOG_SVM_VMMCALL: lib.KVMLOG_DETAIL_HYPERCALL,
    **dict.fromkeys(_SVM_CR_TRAPS, lib.KVMLOG_DETAIL_CR),
    lib.KVMLOG_SVM_NPF: lib.KVMLOG_DETAIL_GPA,
    svm.NUMBERS["vmgexit_mmio_read"]: lib.KVMLOG_DETAIL_GPA,
    svm.NUMBERS["vmgexit_mmio_write"]: lib.KVMLOG_DETAIL_GPA,
}

_ARM64: Final[Mapping[int, int]] = {
    arm64.NUMBERS["HVC32"]: lib.KVMLOG_DETAIL_HYPERCALL,
    arm64.NUMBERS["SMC32"]: lib.KVMLOG_DETAIL_HYPERCALL,
    arm64.NUMBERS["HVC64"]: lib.KVMLOG_DETAIL_HYPERCALL,
    arm64.NUMBERS["SMC64"]: lib.KVMLOG_DETAIL_HYPERCALL,
    arm64.NUMBERS["IABT_LOW"]: lib.KVMLOG_DETAIL_GPA,
    arm64.NUMBERS["DABT_LOW"]: lib.KVMLOG_DETAIL_GPA,
}

_KINDS: Final[Mapping[int, Mapping[int, int]]] = {
    lib.KVMLOG_ISA_VMX: _VMX,
    lib.KVMLOG_ISA_SVM: _SVM,
    lib.KVMLOG_ISA_ARM64: _ARM64,
}


def detail_kind(isa: int, reason: int) -> int:
    """Returns what the detail of this reason is: one of enum kvmlog_detail.

    KVMLOG_DETAIL_NONE for a reason that has none or is unknown.
    """
    kind = _KINDS.get(isa, {}).get(basic_reason(isa, reason))
    return int(lib.KVMLOG_DETAIL_NONE if kind is None else kind)


def detail_words(isa: int, reason: int, detail: int, info1: int | None = None) -> str:
    """Returns a valid detail in words: "port 0x3f8 (com1)", "gpa 0xfee000b0 (lapic eoi)".

    info1: the record's, if valid; with it a VMX access to a control or debug register has
    its direction ("mov to cr3"), which SVM has in the reason. A detail of a reason that
    should have none is shown as "detail 0x...".
    """
    kind = detail_kind(isa, reason)
    if isa == lib.KVMLOG_ISA_VMX and info1 is not None:
        words = qualification_vmx.register_access(reason, info1)
        if words:
            return words
    if kind == lib.KVMLOG_DETAIL_CPUID:
        leaf, subleaf = detail & 0xFFFFFFFF, detail >> 32
        return f"leaf {leaf:#x} subleaf {subleaf:#x}"
    if kind in (lib.KVMLOG_DETAIL_CR, lib.KVMLOG_DETAIL_DR):
        return f"{detail_kind_name(kind)}{detail}"
    if isa == lib.KVMLOG_ISA_ARM64 and kind == lib.KVMLOG_DETAIL_HYPERCALL:
        # A bit field, whose name would not fit: detail_name has it.
        return f"function {detail:#x}"
    number = f"{detail:#x}"
    if kind == lib.KVMLOG_DETAIL_HYPERCALL and detail < 1_000:
        number = str(detail)
    name = detail_name(isa, reason, detail)
    word = "detail" if kind == lib.KVMLOG_DETAIL_NONE else detail_kind_name(kind)
    return f"{word} {number}" + (f" ({name})" if name else "")


def detail_name(isa: int, reason: int, detail: int) -> str | None:
    """Returns the short name of what the detail numbers: "com1", "tsc-deadline", "#PF".

    None for a number without a name; registers and addresses of the guest have none.
    """
    name = _NAMES.get(detail_kind(isa, reason))
    return name(isa, basic_reason(isa, reason), detail) if name else None


def detail_note(isa: int, reason: int, detail: int) -> str | None:
    """Returns what stands behind a port or a guest physical address, in a few words.

    What depends on the guest's machine begins with "likely". None for other details.
    """
    kind = detail_kind(isa, reason)
    if kind == lib.KVMLOG_DETAIL_PORT:
        return ports.port_note(detail)
    if kind == lib.KVMLOG_DETAIL_GPA and isa != lib.KVMLOG_ISA_ARM64:
        return gpa_note(detail)
    return None


def detail_kind_name(kind: int) -> str:
    """Returns a word for one of enum kvmlog_detail, as the JSON output has it."""
    return _KIND_NAMES.get(kind, hex(kind))


def _vector(isa: int, basic: int, vector: int) -> str | None:
    if isa != lib.KVMLOG_ISA_VMX:
        return registers.EXCEPTIONS.get(vector)
    if basic == lib.KVMLOG_VMX_EXTERNAL_INTERRUPT:
        return registers.HOST_VECTORS.get(vector)
    # The vector of an EOI is one that the guest chose.
    return None if basic == lib.KVMLOG_VMX_EOI_INDUCED else registers.EXCEPTIONS.get(vector)


def _gpa(isa: int, _basic: int, gpa: int) -> str | None:
    # Each arm64 machine has its own map.
    return None if isa == lib.KVMLOG_ISA_ARM64 else gpa_name(gpa)


def _hypercall(isa: int, _basic: int, number: int) -> str | None:
    if isa == lib.KVMLOG_ISA_ARM64:
        return registers.ARM_FUNCTIONS.get(number)
    return registers.HYPERCALLS.get(number)


_NAMES: Final[Mapping[int, Callable[[int, int, int], str | None]]] = {
    lib.KVMLOG_DETAIL_PORT: lambda _isa, _basic, n: ports.port_name(n),
    lib.KVMLOG_DETAIL_MSR: lambda _isa, _basic, n: msrs.msr_name(n),
    lib.KVMLOG_DETAIL_CPUID: lambda _isa, _basic, n: registers.CPUID_LEAVES.get(n & 0xFFFFFFFF),
    lib.KVMLOG_DETAIL_GPA: _gpa,
    lib.KVMLOG_DETAIL_VECTOR: _vector,
    lib.KVMLOG_DETAIL_HYPERCALL: _hypercall,
}

_KIND_NAMES: Final[Mapping[int, str]] = {
    lib.KVMLOG_DETAIL_NONE: "none",
    lib.KVMLOG_DETAIL_PORT: "port",
    lib.KVMLOG_DETAIL_MSR: "msr",
    lib.KVMLOG_DETAIL_GPA: "gpa",
    lib.KVMLOG_DETAIL_CPUID: "cpuid",
    lib.KVMLOG_DETAIL_VECTOR: "vector",
    lib.KVMLOG_DETAIL_HYPERCALL: "hypercall",
    lib.KVMLOG_DETAIL_CR: "cr",
    lib.KVMLOG_DETAIL_DR: "dr",
    lib.KVMLOG_DETAIL_GVA: "gva",
}
