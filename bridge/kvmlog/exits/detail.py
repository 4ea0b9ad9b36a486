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

from kvmlog.exits import msrs, places, ports, qualification, registers, svm
from kvmlog.exits.reasons import basic_reason
from kvmlog.native import lib

_VMX_EXTERNAL_INTERRUPT: Final = 1
_VMX_EOI_INDUCED: Final = 45

_VMX: Final[Mapping[int, int]] = {
    0: lib.KVMLOG_DETAIL_VECTOR,  # EXCEPTION_NMI
    1: lib.KVMLOG_DETAIL_VECTOR,  # EXTERNAL_INTERRUPT
    10: lib.KVMLOG_DETAIL_CPUID,
    14: lib.KVMLOG_DETAIL_GVA,  # INVLPG
    18: lib.KVMLOG_DETAIL_HYPERCALL,  # VMCALL
    28: lib.KVMLOG_DETAIL_CR,
    29: lib.KVMLOG_DETAIL_DR,
    30: lib.KVMLOG_DETAIL_PORT,
    31: lib.KVMLOG_DETAIL_MSR,
    32: lib.KVMLOG_DETAIL_MSR,
    45: lib.KVMLOG_DETAIL_VECTOR,  # EOI_INDUCED
    48: lib.KVMLOG_DETAIL_GPA,  # EPT_VIOLATION
    49: lib.KVMLOG_DETAIL_GPA,  # EPT_MISCONFIG
    84: lib.KVMLOG_DETAIL_MSR,
    85: lib.KVMLOG_DETAIL_MSR,
}

_SVM: Final[Mapping[int, int]] = {
    **dict.fromkeys(range(0x20), lib.KVMLOG_DETAIL_CR),
    **dict.fromkeys(range(0x20, 0x40), lib.KVMLOG_DETAIL_DR),
    **dict.fromkeys(range(svm.EXCEPTION_FIRST, svm.EXCEPTION_LAST + 1), lib.KVMLOG_DETAIL_VECTOR),
    0x065: lib.KVMLOG_DETAIL_CR,  # CR0_SEL_WRITE
    0x072: lib.KVMLOG_DETAIL_CPUID,
    0x075: lib.KVMLOG_DETAIL_VECTOR,  # SWINT
    0x079: lib.KVMLOG_DETAIL_GVA,  # INVLPG
    0x07B: lib.KVMLOG_DETAIL_PORT,  # IOIO
    0x07C: lib.KVMLOG_DETAIL_MSR,
    0x081: lib.KVMLOG_DETAIL_HYPERCALL,  # VMMCALL
    **dict.fromkeys(range(0x90, 0xA0), lib.KVMLOG_DETAIL_CR),  # CR write traps
    0x400: lib.KVMLOG_DETAIL_GPA,  # NPF
    0x80000001: lib.KVMLOG_DETAIL_GPA,  # VMGEXIT_MMIO_READ
    0x80000002: lib.KVMLOG_DETAIL_GPA,  # VMGEXIT_MMIO_WRITE
}

_ARM64: Final[Mapping[int, int]] = {
    0x12: lib.KVMLOG_DETAIL_HYPERCALL,  # HVC32
    0x13: lib.KVMLOG_DETAIL_HYPERCALL,  # SMC32
    0x16: lib.KVMLOG_DETAIL_HYPERCALL,  # HVC64
    0x17: lib.KVMLOG_DETAIL_HYPERCALL,  # SMC64
    0x20: lib.KVMLOG_DETAIL_GPA,  # IABT_LOW
    0x24: lib.KVMLOG_DETAIL_GPA,  # DABT_LOW
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
    if kind in (lib.KVMLOG_DETAIL_CR, lib.KVMLOG_DETAIL_DR) and info1 is not None:
        words = qualification.register_access(isa, reason, info1)
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
        return places.gpa_note(detail)
    return None


def detail_kind_name(kind: int) -> str:
    """Returns a word for one of enum kvmlog_detail, as the JSON output has it."""
    return _KIND_NAMES.get(kind, hex(kind))


def _vector(isa: int, basic: int, vector: int) -> str | None:
    if isa != lib.KVMLOG_ISA_VMX:
        return registers.EXCEPTIONS.get(vector)
    if basic == _VMX_EXTERNAL_INTERRUPT:
        return registers.HOST_VECTORS.get(vector)
    # The vector of an EOI is one that the guest chose.
    return None if basic == _VMX_EOI_INDUCED else registers.EXCEPTIONS.get(vector)


def _gpa(isa: int, _basic: int, gpa: int) -> str | None:
    # Each arm64 machine has its own map.
    return None if isa == lib.KVMLOG_ISA_ARM64 else places.gpa_name(gpa)


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
