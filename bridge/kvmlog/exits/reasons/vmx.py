# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit reasons of Intel VMX.

Names and numbers are those of the kernel's arch/x86/include/uapi/asm/vmx.h
(EXIT_REASON_*, as of 6.12; 76, 77, 84 and 85 from 6.16 to 6.18), numbers also in the
Intel SDM, volume 3, appendix C "VMX Basic Exit Reasons". A reason that only the SDM
has is named after its instruction. 5, 6 and 17 go to an SMM monitor, never to KVM, and
stay numbers. The basic reason is
the low half of the 32-bit exit reason; the high half holds flags (SDM volume 3,
section "Basic VM-Exit Information", table of the exit-reason field).
"""

from __future__ import annotations

from typing import Final

FAILED_VMENTRY: Final = 1 << 31

NAMES: Final[dict[int, str]] = {
    0: "EXCEPTION_NMI",
    1: "EXTERNAL_INTERRUPT",
    2: "TRIPLE_FAULT",
    3: "INIT_SIGNAL",
    4: "SIPI_SIGNAL",
    7: "INTERRUPT_WINDOW",
    8: "NMI_WINDOW",
    9: "TASK_SWITCH",
    10: "CPUID",
    11: "GETSEC",
    12: "HLT",
    13: "INVD",
    14: "INVLPG",
    15: "RDPMC",
    16: "RDTSC",
    18: "VMCALL",
    19: "VMCLEAR",
    20: "VMLAUNCH",
    21: "VMPTRLD",
    22: "VMPTRST",
    23: "VMREAD",
    24: "VMRESUME",
    25: "VMWRITE",
    26: "VMOFF",
    27: "VMON",
    28: "CR_ACCESS",
    29: "DR_ACCESS",
    30: "IO_INSTRUCTION",
    31: "MSR_READ",
    32: "MSR_WRITE",
    33: "INVALID_STATE",
    34: "MSR_LOAD_FAIL",
    36: "MWAIT_INSTRUCTION",
    37: "MONITOR_TRAP_FLAG",
    39: "MONITOR_INSTRUCTION",
    40: "PAUSE_INSTRUCTION",
    41: "MCE_DURING_VMENTRY",
    43: "TPR_BELOW_THRESHOLD",
    44: "APIC_ACCESS",
    45: "EOI_INDUCED",
    46: "GDTR_IDTR",
    47: "LDTR_TR",
    48: "EPT_VIOLATION",
    49: "EPT_MISCONFIG",
    50: "INVEPT",
    51: "RDTSCP",
    52: "PREEMPTION_TIMER",
    53: "INVVPID",
    54: "WBINVD",
    55: "XSETBV",
    56: "APIC_WRITE",
    57: "RDRAND",
    58: "INVPCID",
    59: "VMFUNC",
    60: "ENCLS",
    61: "RDSEED",
    62: "PML_FULL",
    63: "XSAVES",
    64: "XRSTORS",
    65: "PCONFIG",
    66: "SPP",
    67: "UMWAIT",
    68: "TPAUSE",
    69: "LOADIWKEY",
    70: "ENCLV",
    72: "ENQCMD_PASID",
    73: "ENQCMDS_PASID",
    74: "BUS_LOCK",
    75: "NOTIFY",
    76: "SEAMCALL",
    77: "TDCALL",
    78: "RDMSRLIST",
    79: "WRMSRLIST",
    80: "URDMSR",
    81: "UWRMSR",
    84: "MSR_READ_IMM",
    85: "MSR_WRITE_IMM",
}

NUMBERS: Final = {name: number for number, name in NAMES.items()}

# Bit -> name. Bits that have no name here are shown as a number.
FLAGS: Final[dict[int, str]] = {
    1 << 25: "BUSY_SHADOW_STACK",
    1 << 26: "BUS_LOCK",
    1 << 27: "SGX_ENCLAVE_MODE",
    1 << 28: "PENDING_MTF",
    1 << 29: "FROM_VMX_ROOT",
    FAILED_VMENTRY: "FAILED_VMENTRY",
}
