# SPDX-License-Identifier: GPL-2.0-or-later
"""Reasons against the system's <asm/vmx.h>, <asm/svm.h> and <linux/kvm.h> (linux-libc-dev)."""

from __future__ import annotations

import re
import subprocess

import pytest

from kvmlog.exits.reasons import arm64, svm, userspace, vmx
from kvmlog.native import ffi

# Constants of <asm/svm.h> that are no exit codes: the range of exceptions, whose codes have no
# constants of their own; an error of the host's, as the software sees it; parameters of VMGEXIT.
NO_CODES = {
    *("SVM_EXIT_LAST_EXCP", "SVM_EXIT_ERR"),
    *("SVM_VMGEXIT_SET_AP_JUMP_TABLE", "SVM_VMGEXIT_GET_AP_JUMP_TABLE"),
    *("SVM_VMGEXIT_AP_CREATE_ON_INIT", "SVM_VMGEXIT_AP_CREATE", "SVM_VMGEXIT_AP_DESTROY"),
}
# Constants of <linux/kvm.h> that say more of a return, not why.
NO_RETURNS = {
    *("KVM_EXIT_IO_IN", "KVM_EXIT_IO_OUT", "KVM_EXIT_XEN_HCALL"),
    *("KVM_EXIT_HYPERV_SYNIC", "KVM_EXIT_HYPERV_HCALL", "KVM_EXIT_HYPERV_SYNDBG"),
}
# Reasons of include/kvmlog/reasons.h that this header may be too old for.
NEWER = {"IDLE_HLT"}


def preprocessed(text: str, *flags: str) -> str:
    """Return C text after the preprocessor."""
    command = ["gcc", "-E", "-P", "-x", "c", *flags, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def constants(isa: str, pattern: str) -> dict[str, int]:
    """Return the object-like macros of <asm/{isa}.h> whose names match, with their values."""
    macros = preprocessed(f"#include <asm/{isa}.h>\n", "-dM")
    found = re.findall(rf"^#define ({pattern}) (-?\w+)$", macros, re.MULTILINE)
    return {name: int(value, 0) for name, value in found}


def words(isa: str, macro: str) -> list[tuple[int, str]]:
    """Return the kernel's own table, which its trace event prints: u32 numbers and words."""
    # <asm/kvm.h> has the vectors that the codes of exceptions are made of.
    text = preprocessed(f"#include <asm/kvm.h>\n#include <asm/{isa}.h>\n{macro}\n")
    found = re.findall(r'\{ *([^,{};]+), *"([^"]*)" *\}', text)
    return [
        (sum(int(part.strip(" ()"), 0) for part in number.split("+")) & 0xFFFFFFFF, word)
        for number, word in found
    ]


@pytest.mark.parametrize(
    ("isa", "macro", "names", "at_least"),
    [
        ("vmx", "VMX_EXIT_REASONS", vmx.NAMES, 60),
        ("svm", "SVM_EXIT_REASONS", svm.NAMES, 80),
    ],
)
def test_names_are_the_kernels(isa: str, macro: str, names: dict[int, str], at_least: int) -> None:
    """Every number that the header names has that name in our table."""
    table = words(isa, macro)
    assert len(table) >= at_least
    assert [(hex(number), word) for number, word in table if names.get(number) != word] == []


def test_every_vmx_reason_of_the_header_is_named() -> None:
    """Each EXIT_REASON_* has its number, and its name without the prefix, in our table."""
    found = constants("vmx", r"EXIT_REASON_\w+")
    assert len(found) >= 60
    ours = {f"EXIT_REASON_{name}": number for number, name in vmx.NAMES.items()}
    assert {name: ours.get(name) for name in found} == found


def test_every_svm_code_of_the_header_is_named() -> None:
    """Each SVM_EXIT_* and SVM_VMGEXIT_* is in our table, but for what is no exit code."""
    found = constants("svm", r"SVM_(?:EXIT|VMGEXIT)_\w+")
    assert len(found) >= 100
    codes = {name: number for name, number in found.items() if name not in NO_CODES}
    assert {name: hex(number) for name, number in codes.items() if number not in svm.NAMES} == {}


def test_vmx_flags_of_the_header_are_named() -> None:
    """VMX_EXIT_REASONS_FAILED_VMENTRY and its like are the bits of our table."""
    found = constants("vmx", r"VMX_EXIT_REASONS_\w+")
    assert found.keys() >= {"VMX_EXIT_REASONS_FAILED_VMENTRY"}
    ours = {f"VMX_EXIT_REASONS_{name}": bit for bit, name in vmx.FLAGS.items()}
    assert {name: ours.get(name) for name in found} == found
    assert vmx.FLAGS[vmx.FAILED_VMENTRY] == "FAILED_VMENTRY"


@pytest.mark.parametrize(
    ("isa", "prefix", "pattern"),
    [
        ("vmx", "EXIT_REASON_", r"EXIT_REASON_\w+"),
        ("svm", "SVM_EXIT_", r"SVM_EXIT_\w+"),
    ],
)
def test_the_c_header_has_the_systems_numbers(isa: str, prefix: str, pattern: str) -> None:
    """include/kvmlog/reasons.h names reasons as the system does, with the same numbers."""
    ours = {
        name.removeprefix(f"KVMLOG_{isa.upper()}_"): number
        for number, name in ffi.typeof(f"enum kvmlog_{isa}_reason").elements.items()
    }
    found = constants(isa, pattern)
    missing = {name for name in ours if prefix + name not in found}
    assert missing <= NEWER
    assert {name: found[prefix + name] for name in ours.keys() - missing} == {
        name: ours[name] for name in ours.keys() - missing
    }


def test_returns_to_the_vmm_are_the_kernels() -> None:
    """Each reason of struct kvm_run's exit_reason in <linux/kvm.h> has its number in our table."""
    macros = preprocessed("#include <linux/kvm.h>\n", "-dM")
    found = dict(re.findall(r"^#define (KVM_EXIT_\w+) +(\w+)$", macros, re.MULTILINE))
    reasons = {name: int(number, 0) for name, number in found.items() if name not in NO_RETURNS}
    assert len(reasons) >= 38
    ours = {name: number for number, name in userspace.NAMES.items()}
    assert {name: ours.get(name) for name in reasons} == reasons


def test_arm64_reasons_of_the_c_header_are_named() -> None:
    """There is no system header of arm64 here: both of ours agree."""
    elements = ffi.typeof("enum kvmlog_arm64_reason").elements
    ours = {f"KVMLOG_ARM64_{name.upper()}": number for number, name in arm64.NAMES.items()}
    assert elements != {}
    assert {name: ours.get(name) for name in elements.values()} == {
        name: number for number, name in elements.items()
    }


def test_numbers_by_name_lose_none() -> None:
    """No two reasons of a table have one name."""
    assert len(vmx.NUMBERS) == len(vmx.NAMES)
    assert len(svm.NUMBERS) == len(svm.NAMES)
    assert len(arm64.NUMBERS) == len(arm64.NAMES)
