# SPDX-License-Identifier: GPL-2.0-or-later
"""The kind of a record's `detail`, by ISA and reason, and the detail in words.

KVMLOG_F_DETAIL_VALID, not this module, tells whether the field holds anything.
Sources: VMX: Intel SDM volume 3, "Basic Exit Reasons" and "Exit Qualification";
SVM: AMD APM volume 2, chapter 15 (EXITINFO1, EXITINFO2 per intercept); arm64:
Arm ARM DDI 0487, ESR_EL2 and HPFAR_EL2, and the SMC Calling Convention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kvmlog.exits.decode import gpa, msrs, ports, qualification_vmx, registers
from kvmlog.exits.reasons import arm64, svm, vmx
from kvmlog.exits.reasons.names import basic_reason
from kvmlog.native import lib

_GIB: Final = 1 << 30
# Bits 28 to 31 of the MSRs and CPUID leaves that CPUs leave to hypervisors (Intel SDM).
_HYPERVISORS: Final = 4

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
    """Return the kind of this reason's detail: one of enum kvmlog_detail.

    KVMLOG_DETAIL_NONE for a reason that has none or is unknown.
    """
    kind = _KINDS.get(isa, {}).get(basic_reason(isa, reason))
    return int(lib.KVMLOG_DETAIL_NONE if kind is None else kind)


def detail_words(
    isa: int,
    reason: int,
    detail: int,
    info1: int | None = None,
    *,
    is_device: bool = False,
    is_nested: bool = False,
) -> str:
    """Return a valid detail in words: "port 0x3f8 (com1)", "gpa 0xfee000b0 (lapic eoi)".

    info1: the record's, if valid; with it a VMX access to a control or debug register has
    its direction ("mov to cr3"), which SVM has in the reason. is_device, is_nested: as for
    detail_name().
    A detail of a reason that should have none is shown as "detail 0x...".
    """
    kind = detail_kind(isa, reason)
    if isa == lib.KVMLOG_ISA_VMX and info1 is not None:
        words = qualification_vmx.register_access(reason, info1)
        if words:
            return words
    if kind == lib.KVMLOG_DETAIL_CPUID:
        leaf, subleaf = detail & 0xFFFFFFFF, detail >> 32
        # Of other leaves CPUID does not look at ECX: it holds whatever the guest left there.
        has_subleaves = lib.kvmlog_cpuid_has_subleaves(leaf)
        return f"leaf {leaf:#x}" + (f" subleaf {subleaf:#x}" if has_subleaves else "")
    if kind in (lib.KVMLOG_DETAIL_CR, lib.KVMLOG_DETAIL_DR):
        return f"{detail_kind_name(kind)}{detail}"
    if isa == lib.KVMLOG_ISA_ARM64 and kind == lib.KVMLOG_DETAIL_HYPERCALL:
        # A bit field, whose name would not fit: detail_name has it.
        return f"function {detail:#x}"
    number = f"{detail:#x}"
    if kind == lib.KVMLOG_DETAIL_HYPERCALL and detail < 1_000:
        number = str(detail)
    name = detail_name(isa, reason, detail, is_device=is_device, is_nested=is_nested)
    word = "detail" if kind == lib.KVMLOG_DETAIL_NONE else detail_kind_name(kind)
    return f"{word} {number}" + (f" ({name})" if name else "")


def detail_name(
    isa: int, reason: int, detail: int, *, is_device: bool = False, is_nested: bool = False
) -> str | None:
    """Return the short name of the thing that the detail numbers: "com1", "tsc-deadline", "#PF".

    is_device: an address is a device's, and not RAM: the VMM handled the access (KVM_EXIT_MMIO).
    is_nested: the exit left a guest of the hypervisor in the guest (L1). What is L1's to define
    has no name: hypercalls, the MSRs and CPUID leaves that hypervisors have, what lies at an
    address. L1 need not be KVM, and its guest's addresses are not those of the VMM's devices.
    None for a number without a name; registers and addresses of the guest have none.
    """
    kind, basic = detail_kind(isa, reason), basic_reason(isa, reason)
    if is_nested and _is_of_hypervisor(kind, detail):
        return None
    if kind == lib.KVMLOG_DETAIL_GPA:
        # Each arm64 machine has its own map. KVM keeps EPT misconfigurations for devices only.
        is_misconfig = isa == lib.KVMLOG_ISA_VMX and basic == lib.KVMLOG_VMX_EPT_MISCONFIG
        is_pc = isa != lib.KVMLOG_ISA_ARM64
        return gpa.gpa_name(detail, is_device or is_misconfig) if is_pc else None
    name = _NAMES.get(kind)
    return name(isa, basic, detail) if name else None


def region_words(isa: int, reason: int, first: int) -> str:
    """Return the range of details that the statistics count as one, in words, by its start.

    "gpa 0x40000000-0x7fffffff", "leaf 0x40000200-0x4fffffff".
    """
    kind = detail_kind(isa, reason)
    if kind == lib.KVMLOG_DETAIL_CPUID:
        return f"leaf {first:#x}-{lib.KVMLOG_CPUID_SEARCHED_LAST:#x}"
    return f"{detail_kind_name(kind)} {first:#x}-{first + _GIB - 1:#x}"


def device_words(isa: int, detail: int) -> str:
    """Return the addresses of the device at a guest physical address, and its name, in words."""
    if isa == lib.KVMLOG_ISA_ARM64:
        return f"gpa {detail:#x}"
    return f"gpa {gpa.device_words(detail)}"


def _is_of_hypervisor(kind: int, detail: int) -> bool:
    """Return whether the hypervisor of the guest that made the exit decides what it means."""
    if kind in (lib.KVMLOG_DETAIL_MSR, lib.KVMLOG_DETAIL_CPUID):
        return (detail & 0xFFFFFFFF) >> 28 == _HYPERVISORS
    return kind in (lib.KVMLOG_DETAIL_HYPERCALL, lib.KVMLOG_DETAIL_GPA)


def detail_note(isa: int, reason: int, detail: int, *, is_nested: bool = False) -> str | None:
    """Return a few words on the device behind a port or a guest physical address.

    Where it depends on the guest's machine, they begin with "likely". None for other details.
    is_nested: as for detail_name().
    """
    kind = detail_kind(isa, reason)
    if is_nested and _is_of_hypervisor(kind, detail):
        return None
    if kind == lib.KVMLOG_DETAIL_PORT:
        return ports.port_note(detail)
    if kind == lib.KVMLOG_DETAIL_GPA and isa != lib.KVMLOG_ISA_ARM64:
        return gpa.gpa_note(detail)
    return None


def detail_kind_name(kind: int) -> str:
    """Return a word for one of enum kvmlog_detail, as the JSON output has it."""
    return _KIND_NAMES.get(kind, hex(kind))


def _vector(isa: int, basic: int, vector: int) -> str | None:
    if isa != lib.KVMLOG_ISA_VMX:
        return registers.EXCEPTIONS.get(vector)
    if basic == lib.KVMLOG_VMX_EXTERNAL_INTERRUPT:
        return registers.HOST_VECTORS.get(vector)
    # The vector of an EOI is one that the guest chose.
    return None if basic == lib.KVMLOG_VMX_EOI_INDUCED else registers.EXCEPTIONS.get(vector)


def _hypercall(isa: int, _basic: int, number: int) -> str | None:
    if isa == lib.KVMLOG_ISA_ARM64:
        return registers.ARM_FUNCTIONS.get(number)
    return registers.HYPERCALLS.get(number)


_NAMES: Final[Mapping[int, Callable[[int, int, int], str | None]]] = {
    lib.KVMLOG_DETAIL_PORT: lambda _isa, _basic, n: ports.port_name(n),
    lib.KVMLOG_DETAIL_MSR: lambda _isa, _basic, n: msrs.msr_name(n),
    lib.KVMLOG_DETAIL_CPUID: lambda _isa, _basic, n: registers.CPUID_LEAVES.get(n & 0xFFFFFFFF),
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
