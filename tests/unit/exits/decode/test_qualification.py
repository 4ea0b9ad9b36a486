# SPDX-License-Identifier: GPL-2.0-or-later
"""Bits of info1 and info2, from values written by hand after the manuals' tables."""

from __future__ import annotations

import pytest

from kvmlog.exits.decode.detail import detail_words
from kvmlog.exits.decode.facts import Fact
from kvmlog.exits.decode.qualification import decode
from kvmlog.exits.decode.qualification_vmx import register_access
from kvmlog.native import lib

VMX, SVM, ARM64 = lib.KVMLOG_ISA_VMX, lib.KVMLOG_ISA_SVM, lib.KVMLOG_ISA_ARM64


@pytest.mark.parametrize(
    ("reason", "info1", "words"),
    [
        # I/O: size-1 in 2:0, 3 in, 4 string, 5 rep, 6 immediate, port in 31:16.
        (30, 0x03F80040, "out, 1 byte"),
        (30, 0x0CFC000B, "in, 4 bytes"),
        (30, 0x01F00039, "in, 2 bytes, string, rep"),
        # Control registers: number in 3:0, type in 5:4, register in 11:8, LMSW data in 31:16.
        (28, 0x003, "mov to cr3, rax"),
        (28, 0xF18, "mov from cr8, r15"),
        (28, 0x020, "clts"),
        (28, 0x00110030, "lmsw 0x11"),
        # Debug registers: number in 2:0, direction in 4, register in 11:8.
        (29, 0x307, "mov to dr7, rbx"),
        (29, 0x016, "mov from dr6, rax"),
        # EPT: access in 2:0, what is mapped in 5:3, 7 linear address valid, 8 translated.
        (48, 0x181, "read, nothing mapped"),
        (48, 0x182, "write, nothing mapped"),
        (48, 0x18A, "write, mapped r--"),
        (48, 0x1AA, "write, mapped r-x"),
        (48, 0x184, "fetch, nothing mapped"),
        (48, 0x19C, "fetch, mapped rw-"),
        (48, 0x083, "read+write, nothing mapped, in a walk of the guest's page tables"),
        (48, 0x001, "read, nothing mapped"),
        (48, 0x382, "write, nothing mapped, user mode"),
        (48, 0x1182, "write, nothing mapped, IRET had unblocked NMIs"),
        # APIC access: offset in 11:0, type in 15:12. APIC write: offset.
        (44, 0x10B0, "write of APIC register eoi"),
        (44, 0x0390, "read of APIC register timer-current"),
        (44, 0x0050, "read of APIC register 0x50"),
        (56, 0x300, "write of APIC register icr"),
        (45, 0x55, "end of interrupt 0x55"),
        # Task switch: selector in 15:0, source in 31:30.
        (9, 0xC0000028, "to TSS 0x28 by task gate"),
        (9, 0x40000030, "to TSS 0x30 by iret"),
        (36, 1, "monitor armed"),
        (75, 1, "guest state is corrupt"),
        (84, 0x48, "msr 0x48 (spec-ctrl)"),
        (85, 0x124, "msr 0x124"),
        ((1 << 31) | 33, 2, "loading the PDPTEs failed"),
        # The bus-lock flag rides on any reason and changes nothing.
        ((1 << 26) | 30, 0x03F80040, "out, 1 byte"),
        # Nothing is known of these.
        ((1 << 31) | 30, 0x03F80040, ""),
        ((1 << 31) | 33, 0, ""),
        (12, 0, ""),
        (10, 0xFF, ""),
        (999, 0xFF, ""),
    ],
)
def test_vmx_words(reason: int, info1: int, words: str) -> None:
    """Exit qualification, Intel SDM volume 3."""
    assert decode(VMX, reason, info1, 0).words == words


@pytest.mark.parametrize(
    ("info2", "words"),
    [
        (0x800000EC, "delivering external interrupt 0xec"),
        (0x80000B0E, "delivering hardware exception 0xe"),
        (0x80000202, "delivering NMI 0x2"),
        (0x80000403, "delivering software interrupt 0x3"),
        (0x80000703, "delivering event 0x3"),
    ],
)
def test_vmx_event_delivery(info2: int, words: str) -> None:
    """Vector in 7:0, type in 10:8, valid in 31; invalid says nothing."""
    assert decode(VMX, 48, 0x181, info2).words == f"read, nothing mapped, while {words}"
    assert decode(VMX, 12, 0, info2).words == f"while {words}"
    assert decode(VMX, 12, 0, info2 & 0x7FFFFFFF).facts == {}


def test_vmx_facts() -> None:
    """The same by name, for programs."""
    assert decode(VMX, 30, 0x01F00039, 0).facts == {
        "direction": "in",
        "bytes": 2,
        "string": True,
        "rep": True,
        "immediate_port": False,
        "port": 0x1F0,
    }
    assert decode(VMX, 28, 0xF18, 0).facts == {
        "operation": "mov_from",
        "register": "cr8",
        "gpr": "r15",
    }
    assert decode(VMX, 28, 0x00110030, 0).facts == {
        "operation": "lmsw",
        "value": 0x11,
        "memory_operand": False,
    }
    assert decode(VMX, 48, 0x1AA, 0x800000EC).facts == {
        "access": ["write"],
        "mapped": "r-x",
        "present": True,
        "linear_address_valid": True,
        "page_walk": False,
        "delivering": "external interrupt",
        "delivering_vector": 0xEC,
    }
    assert decode(VMX, 44, 0x10B0, 0).facts == {
        "apic_offset": 0xB0,
        "access": "write",
        "apic_register": "eoi",
    }


def test_ept_says_user_mode_only_where_the_cpu_does() -> None:
    """Bit 9 has a meaning if bits 7 and 8 are set."""
    assert decode(VMX, 48, 0x381, 0).facts["user"] is True
    assert "user" not in decode(VMX, 48, 0x281, 0).facts
    assert "page_walk" not in decode(VMX, 48, 0x001, 0).facts


@pytest.mark.parametrize(
    ("code", "info1", "info2", "words"),
    [
        # IOIO: 0 in, 2 string, 3 rep, 4 to 6 size, port in 31:16; info2 the next RIP.
        (0x7B, 0x03F80210, 0x1000, "out, 1 byte"),
        (0x7B, 0x0CFC0241, 0, "in, 4 bytes"),
        (0x7B, 0x01F0002D, 0, "in, 2 bytes, string, rep"),
        # MSR: 0 read, 1 write.
        (0x7C, 0, 0, "read"),
        (0x7C, 1, 0, "write"),
        # NPF: an error code, 32 final address, 33 page walk.
        (0x400, 0x1_00000004, 0, "read, not present"),
        (0x400, 0x1_00000006, 0, "write, not present"),
        (0x400, 0x1_00000007, 0, "write, present"),
        (0x400, 0x1_00000014, 0, "fetch, not present"),
        (0x400, 0x2_00000006, 0, "write, not present, in a walk of the guest's page tables"),
        (
            0x400,
            0x1_0000000F,
            0,
            "write, present, reserved bit set: KVM's mark of an emulated device",
        ),
        (0x400, 0x5_80000007, 0, "write, present, by the RMP check, encrypted"),
        # CR with decode assists: 63 a MOV, register in 3:0.
        (0x10, 1 << 63 | 0x3, 0, "mov to cr0, rbx"),
        (0x08, 1 << 63 | 0xF, 0, "mov from cr8, r15"),
        (0x10, 0, 0, ""),
        (0x4E, 0x6, 0x1234, "write, not present, at 0x1234"),
        # Task switch: 36 IRET, 38 far jump.
        (0x7D, 0x28, 1 << 36, "to TSS 0x28 by iret"),
        (0x7D, 0x28, 1 << 38, "to TSS 0x28 by jmp"),
        (0x7D, 0x28, 0, "to TSS 0x28 by call or task gate"),
        # AVIC: the cause in info2 63:32; register in info1 11:4, 32 write.
        (0x401, 0x1_000000FD, 1 << 32, "the target vCPU is not running"),
        (0x401, 0, 0, "the interrupt type is not accelerated"),
        (0x401, 0, 9 << 32, "cause 9"),
        (0x402, 0x1_00000380, 0, "write of APIC register timer-count"),
        (0x402, 0x390, 0, "read of APIC register timer-current"),
        (0x78, 0xFF, 0xFF, ""),
        (0xFFFFFFFF, 0, 0, ""),
    ],
)
def test_svm_words(code: int, info1: int, info2: int, words: str) -> None:
    """EXITINFO1 and EXITINFO2, AMD APM volume 2, chapter 15."""
    assert decode(SVM, code, info1, info2).words == words


@pytest.mark.parametrize(
    ("code", "info1", "info2", "facts"),
    [
        (
            0x7B,
            0x03F80210,
            0,
            {"direction": "out", "bytes": 1, "string": False, "rep": False, "port": 0x3F8},
        ),
        (
            0x400,
            0x1_00000006,
            0xD0000000,
            {
                "access": ["write"],
                "present": False,
                "user": True,
                "reserved_bit": False,
                "page_walk": False,
                "final_address": True,
            },
        ),
        (
            0x401,
            0x2_000040FD,
            1 << 32 | 0x105,
            {
                "cause": "the target vCPU is not running",
                "vector": 0xFD,
                "destination": 2,
                "index": 0x105,
            },
        ),
        (
            0x402,
            0x1_000000B0,
            0x31,
            {"access": "write", "apic_offset": 0xB0, "apic_register": "eoi", "vector": 0x31},
        ),
    ],
)
def test_svm_facts(code: int, info1: int, info2: int, facts: dict[str, Fact]) -> None:
    """The same by name, for programs."""
    assert decode(SVM, code, info1, info2).facts == facts


def test_arm64_and_unknown_isas_say_nothing() -> None:
    """Their info fields have no meaning that is known here."""
    assert [decode(isa, 30, 0x03F80040, 0).facts for isa in (ARM64, 0, 9)] == [{}, {}, {}]


def test_register_access_names_direction_and_register() -> None:
    """Control registers are named, whatever flags the reason has but that of a failed entry."""
    assert register_access(28, 0x13) == "mov from cr3"
    assert register_access((1 << 26) | 28, 0x13) == "mov from cr3"
    assert register_access((1 << 31) | 28, 0x13) is None
    assert register_access(30, 0x13) is None


def test_register_access_is_for_vmx_only() -> None:
    """SVM's code 28 is a write of CR12, whatever info1 holds."""
    assert detail_words(VMX, 28, 3, 0x13) == "mov from cr3"
    assert detail_words(SVM, 28, 3, 0x13) == "cr3"
