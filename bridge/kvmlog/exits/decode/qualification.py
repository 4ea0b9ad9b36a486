# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU's further information on an exit, info1 and info2, decoded bit by bit.

VMX: info1 is the exit qualification, info2 the IDT-vectoring information (Intel SDM
volume 3, "Exit Qualification" and "Information for VM Exits That Occur During Event
Delivery"). SVM: info1 is EXITINFO1, info2 EXITINFO2 (AMD APM volume 2, chapter 15, the
section of each intercept).
"""

from __future__ import annotations

from kvmlog.exits.decode import qualification_svm, qualification_vmx
from kvmlog.exits.decode.facts import NOTHING, Facts
from kvmlog.native import lib


def decode(isa: int, reason: int, info1: int, info2: int) -> Facts:
    """Return the decoded bits of info1 and info2, which must be valid, and words for them.

    Both are empty for a reason that has nothing there, and for arm64.
    """
    if isa == lib.KVMLOG_ISA_SVM:
        return qualification_svm.decode(reason, info1, info2)
    if isa != lib.KVMLOG_ISA_VMX:
        return NOTHING
    return qualification_vmx.decode(reason, info1, info2)
