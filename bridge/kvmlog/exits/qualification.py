# SPDX-License-Identifier: GPL-2.0-or-later
"""What the CPU said of an exit beyond its reason: info1 and info2, by their bits.

VMX: info1 is the exit qualification, info2 the IDT-vectoring information (Intel SDM
volume 3, "Exit Qualification" and "Information for VM Exits That Occur During Event
Delivery"). SVM: info1 is EXITINFO1, info2 EXITINFO2 (AMD APM volume 2, chapter 15, the
section of each intercept).
"""

from __future__ import annotations

from typing import Final

from kvmlog.exits import qualification_svm, qualification_vmx, vmx
from kvmlog.exits.facts import NOTHING, Facts
from kvmlog.native import lib

# A failed entry has another kind of qualification; the other flags leave it as it is.
_FAILED_VMENTRY: Final = 1 << 31
_VMX_INVALID_STATE: Final = 33


def decode(isa: int, reason: int, info1: int, info2: int) -> Facts:
    """Returns the decoded bits of info1 and info2, which must be valid, and words for them.

    Both are empty for a reason that has nothing there, and for arm64.
    """
    if isa == lib.KVMLOG_ISA_SVM:
        return qualification_svm.decode(reason, info1, info2)
    if isa != lib.KVMLOG_ISA_VMX:
        return NOTHING
    basic = reason & vmx.BASIC_REASON_MASK
    if reason & _FAILED_VMENTRY and basic != _VMX_INVALID_STATE:
        return NOTHING
    return qualification_vmx.decode(basic, info1, info2)


def register_access(isa: int, reason: int, info1: int) -> str | None:
    """Returns "mov to cr3", "mov from dr7", "clts" or "lmsw" of a VMX exit; else None."""
    if isa != lib.KVMLOG_ISA_VMX or reason & _FAILED_VMENTRY:
        return None
    return qualification_vmx.register_access(reason & vmx.BASIC_REASON_MASK, info1)
