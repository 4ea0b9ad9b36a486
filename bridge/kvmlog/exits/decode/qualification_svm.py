# SPDX-License-Identifier: GPL-2.0-or-later
"""EXITINFO1 and EXITINFO2 of SVM.

AMD APM volume 2, sections "IOIO Intercepts", "MSR Intercepts", "Nested versus Guest Page
Faults, Fault Ordering" (15.25.6), "AVIC: Incomplete IPI" and "Unaccelerated Access",
"Decode Assists" (CR, DR), "Task Switch Intercept"; error code of a page fault: chapter 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kvmlog.exits.decode import lapic
from kvmlog.exits.decode.facts import GENERAL_REGISTERS, NOTHING, Fact, Facts, io_words
from kvmlog.exits.reasons import svm
from kvmlog.native import lib

_CR_DECODED: Final = 1 << 63

_INCOMPLETE_IPI: Final = (
    "the interrupt type is not accelerated",
    "the target vCPU is not running",
    "no such target",
    "the target's APIC page is not valid",
    "the vector is not valid",
)


def decode(code: int, info1: int, info2: int) -> Facts:
    """Return the meaning of both fields for an exit code; empty if nothing is known."""
    if code < lib.KVMLOG_SVM_READ_DR0:
        return _cr(code, info1)
    decoder = _DECODERS.get(code)
    return decoder(info1, info2) if decoder else NOTHING


def _cr(code: int, info1: int) -> Facts:
    # Without decode assists the CPU leaves the field 0; LMSW and CLTS leave bit 63 clear.
    if not info1 & _CR_DECODED:
        return NOTHING
    operation = "mov_to" if code & 0x10 else "mov_from"
    register, gpr = f"cr{code & 0xF}", GENERAL_REGISTERS[info1 & 0xF]
    words = f"{operation.replace('_', ' ')} {register}, {gpr}"
    return Facts({"operation": operation, "register": register, "gpr": gpr}, words)


def _page_fault(info1: int, info2: int) -> Facts:
    facts, words = _fault(info1)
    return Facts(facts | {"address": info2}, f"{words}, at {info2:#x}")


def _msr(info1: int, _info2: int) -> Facts:
    access = "write" if info1 & 1 else "read"
    return Facts({"access": access}, access)


def _io(info1: int, _info2: int) -> Facts:
    is_in, string, rep = (bool(info1 >> bit & 1) for bit in (0, 2, 3))
    # One of bits 4 to 6 is set: 8, 16 or 32 bits.
    bytes_each = info1 >> 4 & 0x7
    facts: dict[str, Fact] = {
        "direction": "in" if is_in else "out",
        "bytes": bytes_each,
        "string": string,
        "rep": rep,
        "port": info1 >> 16 & 0xFFFF,
    }
    return Facts(facts, io_words(is_in=is_in, bytes_each=bytes_each, string=string, rep=rep))


def _fault(error: int) -> Facts:
    present, write, user, reserved, fetch = (bool(error >> bit & 1) for bit in range(5))
    access = "write" if write else "fetch" if fetch else "read"
    facts: dict[str, Fact] = {
        "access": [access],
        "present": present,
        "user": user,
        "reserved_bit": reserved,
    }
    return Facts(facts, f"{access}, {'present' if present else 'not present'}")


def _nested_page_fault(info1: int, _info2: int) -> Facts:
    facts, words = _fault(info1)
    page_walk = bool(info1 >> 33 & 1)
    facts["page_walk"] = page_walk
    said = [words]
    if facts["reserved_bit"]:
        # How KVM marks addresses that it has to emulate (kvm_mmu_set_mmio_spte_mask).
        said.append("reserved bit set: KVM's mark of an emulated device")
    if page_walk:
        said.append("in a walk of the guest's page tables")
    for bit, name, word in (
        (6, "shadow_stack_access", "shadow stack"),
        (31, "rmp", "by the RMP check"),
        (32, "final_address", ""),
        (34, "encrypted", "encrypted"),
        (35, "rmp_size_mismatch", "page size differs from the RMP's"),
        (36, "vmpl", "not allowed at this VMPL"),
        (37, "shadow_stack_page", ""),
    ):
        if info1 >> bit & 1:
            facts[name] = True
            if word:
                said.append(word)
    return Facts(facts, ", ".join(said))


def _task_switch(info1: int, info2: int) -> Facts:
    selector = info1 & 0xFFFF
    by = "iret" if info2 >> 36 & 1 else "jmp" if info2 >> 38 & 1 else "call or task gate"
    return Facts({"tss_selector": selector, "by": by}, f"to TSS {selector:#x} by {by}")


def _incomplete_ipi(info1: int, info2: int) -> Facts:
    number = info2 >> 32
    why = _INCOMPLETE_IPI[number] if number < len(_INCOMPLETE_IPI) else f"cause {number}"
    facts: dict[str, Fact] = {
        "cause": why,
        "vector": info1 & 0xFF,
        "destination": info1 >> 32,
        "index": info2 & 0x1FF,
    }
    return Facts(facts, why)


def _unaccelerated(info1: int, info2: int) -> Facts:
    offset, write = info1 & 0xFF0, bool(info1 >> 32 & 1)
    access = "write" if write else "read"
    name = lapic.register_name(offset)
    facts: dict[str, Fact] = {"access": access, "apic_offset": offset}
    if name:
        facts["apic_register"] = name
    if name == "eoi":
        facts["vector"] = info2 & 0xFF
    return Facts(facts, f"{access} of APIC register {name or hex(offset)}")


_DECODERS: Final[Mapping[int, Callable[[int, int], Facts]]] = {
    svm.NUMBERS["PF excp"]: _page_fault,
    lib.KVMLOG_SVM_IOIO: _io,
    lib.KVMLOG_SVM_MSR: _msr,
    svm.NUMBERS["task_switch"]: _task_switch,
    lib.KVMLOG_SVM_NPF: _nested_page_fault,
    svm.NUMBERS["avic_incomplete_ipi"]: _incomplete_ipi,
    svm.NUMBERS["avic_unaccelerated_access"]: _unaccelerated,
}
