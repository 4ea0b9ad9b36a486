# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guests in code.S do, told by what their exits have to be."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.vm.intel.events import KernelExit

# They come when the host's time has come, not by what the guest does.
# Debug registers KVM gives to the guest up to the next exit: should that come first, it takes two.
TIMED: Final = {"EXTERNAL_INTERRUPT", "PREEMPTION_TIMER", "DR_ACCESS"}
# Of the guest "kinds", with EPT.
KINDS: Final = {
    "CPUID": 2,
    "CR_ACCESS": 3,
    "EPT_MISCONFIG": 12,
    "EPT_VIOLATION": 9,
    "EXCEPTION_NMI": 2,
    "HLT": 1,
    "INVD": 1,
    "IO_INSTRUCTION": 7,
    "MONITOR_INSTRUCTION": 1,
    "MSR_READ": 2,
    "MSR_WRITE": 1,
    "MWAIT_INSTRUCTION": 1,
    "TRIPLE_FAULT": 1,
    "VMCALL": 1,
    "WBINVD": 1,
    "XSETBV": 1,
}
# Its accesses to devices after each page's first one: read and written, copied from one device to
# another (two accesses), repeated, over the end of a page (two), an ioeventfd's that takes any
# value, and one's that wants one: the last of them comes to the VMM.
MMIO: Final = (
    *(0xD0000020, 0xD0000041, 0xD0000062, 0xD0001034),
    0xD0000100,
    *(0xD0000080, 0xD0000084, 0xD0000088),
    0xD0000FFE,
    *(0xE0000000, 0xE0001000, 0xE0001000),
)
# What the qualifications of its other exits say, in their order.
QUALIFICATIONS: Final = {
    "IO_INSTRUCTION": (
        *("in, 1 byte", "out, 2 bytes"),
        *("out, 1 byte, string, rep",) * 4,
        "out, 1 byte",
    ),
    "CR_ACCESS": ("mov to cr4, rbx", "lmsw 0x15", "mov to cr4, rax"),
    "MWAIT_INSTRUCTION": ("monitor not armed",),
}
# Without EPT these are there, too.
SHADOW_CR_ACCESS: Final = ("mov to cr0, rax", "mov from cr3, rax", "mov to cr3, rax")
UNTOUCHED: Final = 0x1A0000  # guest.h
NESTED_TURNS: Final = 20
DIRTY_PAGES: Final = 520
RAM_AND_TIME: Final = {"EPT_VIOLATION", "EXTERNAL_INTERRUPT", "PREEMPTION_TIMER"}


def counted(exits: list[KernelExit]) -> Counter[str]:
    """How often each reason that does not depend on time."""
    return Counter(told.reason for told in exits if told.reason not in TIMED)
