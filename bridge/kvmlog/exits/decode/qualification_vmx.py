# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit qualification and IDT-vectoring information of VMX.

Tables of the Intel SDM, volume 3, chapter "VM Exits": "Exit Qualification for
Control-Register Accesses", "for MOV DR", "for I/O Instructions", "for EPT Violations",
"for APIC-Access VM Exits", "for Task Switches", and the section "Basic VM-Exit
Information" for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kvmlog.exits.decode import lapic, msrs
from kvmlog.exits.decode.facts import GENERAL_REGISTERS, NOTHING, Fact, Facts, io_words
from kvmlog.exits.reasons import vmx
from kvmlog.native import lib

_IDT_VALID: Final = 1 << 31
_IDT_TYPES: Final[Mapping[int, str]] = {
    0: "external interrupt",
    2: "NMI",
    3: "hardware exception",
    4: "software interrupt",
    5: "privileged software exception",
    6: "software exception",
}

_APIC_ACCESS_TYPES: Final[Mapping[int, str]] = {
    0: "read",
    1: "write",
    2: "instruction fetch",
    3: "access while delivering an event",
    4: "monitoring",
    10: "guest-physical access while delivering an event",
    15: "guest-physical access of an instruction",
}

_TASK_SWITCH_SOURCES: Final = ("call", "iret", "jmp", "task gate")

_INVALID_STATE: Final[Mapping[int, str]] = {
    2: "loading the PDPTEs failed",
    3: "an NMI cannot be injected while STI or MOV SS blocks events",
    4: "the VMCS link pointer is wrong",
}


def decode(reason: int, qualification: int, idt_vectoring: int) -> Facts:
    """Return the meaning of both fields for an exit reason; empty if nothing is known."""
    basic = reason & lib.KVMLOG_VMX_BASIC_MASK
    # A failed entry has another kind of qualification; the other flags leave it as it is.
    if reason & vmx.FAILED_VMENTRY and basic != vmx.NUMBERS["INVALID_STATE"]:
        return NOTHING
    decoder = _DECODERS.get(basic)
    facts, words = decoder(qualification) if decoder else NOTHING
    if not idt_vectoring & _IDT_VALID:
        return Facts(facts, words)
    vector = idt_vectoring & 0xFF
    kind = _IDT_TYPES.get(idt_vectoring >> 8 & 0x7, "event")
    delivering = f"while delivering {kind} {vector:#x}"
    return Facts(
        {**facts, "delivering": kind, "delivering_vector": vector},
        f"{words}, {delivering}" if words else delivering,
    )


def register_access(reason: int, qualification: int) -> str | None:
    """Return "mov to cr3", "mov from dr7", "clts" or "lmsw"; None for another reason."""
    if reason & vmx.FAILED_VMENTRY:
        return None
    basic = reason & lib.KVMLOG_VMX_BASIC_MASK
    if basic == lib.KVMLOG_VMX_CR_ACCESS:
        return _cr_access(qualification)
    if basic == lib.KVMLOG_VMX_DR_ACCESS:
        return _dr_access(qualification)
    return None


def _cr_access(qualification: int) -> str:
    name = f"cr{qualification & 0xF}"
    return (f"mov to {name}", f"mov from {name}", "clts", "lmsw")[qualification >> 4 & 0x3]


def _dr_access(qualification: int) -> str:
    return f"mov {'from' if qualification >> 4 & 1 else 'to'} dr{qualification & 0x7}"


def _cr(qualification: int) -> Facts:
    operation = ("mov_to", "mov_from", "clts", "lmsw")[qualification >> 4 & 0x3]
    words = _cr_access(qualification)
    facts: dict[str, Fact] = {"operation": operation}
    if operation in ("mov_to", "mov_from"):
        facts["register"] = f"cr{qualification & 0xF}"
        facts["gpr"] = GENERAL_REGISTERS[qualification >> 8 & 0xF]
        words += f", {facts['gpr']}"
    elif operation == "lmsw":
        facts["value"] = qualification >> 16 & 0xFFFF
        facts["memory_operand"] = bool(qualification >> 6 & 1)
        words += f" {facts['value']:#x}"
    return Facts(facts, words)


def _dr(qualification: int) -> Facts:
    gpr = GENERAL_REGISTERS[qualification >> 8 & 0xF]
    facts: dict[str, Fact] = {
        "operation": "mov_from" if qualification >> 4 & 1 else "mov_to",
        "register": f"dr{qualification & 0x7}",
        "gpr": gpr,
    }
    return Facts(facts, f"{_dr_access(qualification)}, {gpr}")


def _io(qualification: int) -> Facts:
    bytes_each = (qualification & 0x7) + 1
    is_in, string, rep = (bool(qualification >> bit & 1) for bit in (3, 4, 5))
    facts: dict[str, Fact] = {
        "direction": "in" if is_in else "out",
        "bytes": bytes_each,
        "string": string,
        "rep": rep,
        "immediate_port": bool(qualification >> 6 & 1),
        "port": qualification >> 16 & 0xFFFF,
    }
    return Facts(facts, io_words(is_in=is_in, bytes_each=bytes_each, string=string, rep=rep))


def _ept_violation(qualification: int) -> Facts:
    access = [
        word for bit, word in enumerate(("read", "write", "fetch")) if qualification >> bit & 1
    ]
    mapped = "".join(
        letter if qualification >> 3 + bit & 1 else "-" for bit, letter in enumerate("rwx")
    )
    linear_valid, translated = bool(qualification >> 7 & 1), bool(qualification >> 8 & 1)
    facts: dict[str, Fact] = {
        "access": access,
        "mapped": mapped,
        "present": mapped != "---",
        "linear_address_valid": linear_valid,
    }
    words = ["+".join(access) or "no access named", _mapped_words(mapped)]
    if linear_valid:
        facts["page_walk"] = not translated
        if not translated:
            words.append("in a walk of the guest's page tables")
    # Bits 9 to 11 mean something only on CPUs that report them, and are 0 on others: a 1 counts.
    named: dict[int, tuple[str, str]] = {
        6: ("user_executable", ""),
        12: ("nmi_unblocked_by_iret", "IRET had unblocked NMIs"),
        13: ("shadow_stack_access", "shadow stack"),
        14: ("shadow_stack_page", ""),
        15: ("paging_verification", "guest-paging verification"),
        16: ("asynchronous", "by the CPU itself (trace or PEBS)"),
    }
    if linear_valid and translated:
        named[9] = ("user", "user mode")
    for bit, (name, word) in named.items():
        if qualification >> bit & 1:
            facts[name] = True
            if word:
                words.append(word)
    return Facts(facts, ", ".join(words))


def _mapped_words(mapped: str) -> str:
    return "nothing mapped" if mapped == "---" else f"mapped {mapped}"


def _apic_access(qualification: int) -> Facts:
    offset, kind = qualification & 0xFFF, qualification >> 12 & 0xF
    access = _APIC_ACCESS_TYPES.get(kind, f"access type {kind}")
    facts: dict[str, Fact] = {"apic_offset": offset, "access": access}
    return Facts(facts | _apic_name(offset), f"{access} of {_apic_words(offset)}")


def _apic_write(qualification: int) -> Facts:
    offset = qualification & 0xFFF
    facts: dict[str, Fact] = {"apic_offset": offset}
    return Facts(facts | _apic_name(offset), f"write of {_apic_words(offset)}")


def _apic_name(offset: int) -> dict[str, Fact]:
    name = lapic.register_name(offset)
    return {"apic_register": name} if name else {}


def _apic_words(offset: int) -> str:
    return f"APIC register {lapic.register_name(offset) or hex(offset)}"


def _msr_immediate(qualification: int) -> Facts:
    msr = qualification & 0xFFFFFFFF
    name = msrs.msr_name(msr)
    facts: dict[str, Fact] = {"msr": msr}
    if name:
        facts["msr_name"] = name
    return Facts(facts, f"msr {msr:#x}" + (f" ({name})" if name else ""))


def _task_switch(qualification: int) -> Facts:
    selector, source = qualification & 0xFFFF, _TASK_SWITCH_SOURCES[qualification >> 30 & 0x3]
    return Facts({"tss_selector": selector, "by": source}, f"to TSS {selector:#x} by {source}")


def _invalid_state(qualification: int) -> Facts:
    why = _INVALID_STATE.get(qualification)
    return Facts({"cause": why}, why) if why else NOTHING


def _mwait(qualification: int) -> Facts:
    armed = bool(qualification & 1)
    return Facts({"monitor_armed": armed}, f"monitor {'armed' if armed else 'not armed'}")


def _notify(qualification: int) -> Facts:
    valid = not qualification & 1
    return Facts({"context_valid": valid}, f"guest state is {'whole' if valid else 'corrupt'}")


def _eoi(qualification: int) -> Facts:
    vector = qualification & 0xFF
    return Facts({"vector": vector}, f"end of interrupt {vector:#x}")


_DECODERS: Final[Mapping[int, Callable[[int], Facts]]] = {
    vmx.NUMBERS["TASK_SWITCH"]: _task_switch,
    lib.KVMLOG_VMX_CR_ACCESS: _cr,
    lib.KVMLOG_VMX_DR_ACCESS: _dr,
    lib.KVMLOG_VMX_IO_INSTRUCTION: _io,
    vmx.NUMBERS["INVALID_STATE"]: _invalid_state,
    vmx.NUMBERS["MWAIT_INSTRUCTION"]: _mwait,
    vmx.NUMBERS["APIC_ACCESS"]: _apic_access,
    lib.KVMLOG_VMX_EOI_INDUCED: _eoi,
    lib.KVMLOG_VMX_EPT_VIOLATION: _ept_violation,
    vmx.NUMBERS["APIC_WRITE"]: _apic_write,
    vmx.NUMBERS["NOTIFY"]: _notify,
    vmx.NUMBERS["MSR_READ_IMM"]: _msr_immediate,
    vmx.NUMBERS["MSR_WRITE_IMM"]: _msr_immediate,
}
