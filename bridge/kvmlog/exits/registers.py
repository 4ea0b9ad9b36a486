# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of a handful of well-known ports, MSRs, hypercalls and vectors.

Ports: the PC platform's fixed I/O addresses (Intel PCH data sheets, "Fixed I/O
Decode Ranges"; QEMU's docs for 0x402 and 0x510). MSRs: Intel SDM volume 4, AMD
APM volume 2 appendix A, the kernel's asm/msr-index.h and uapi/asm/kvm_para.h.
Hypercalls: KVM_HC_* in include/uapi/linux/kvm_para.h. Exception vectors: Intel
SDM volume 3, "Exception and Interrupt Vectors".
"""

from __future__ import annotations

from typing import Final

PORTS: Final[dict[int, str]] = {
    0x20: "pic1",
    0x21: "pic1",
    0x40: "pit",
    0x43: "pit",
    0x60: "keyboard",
    0x61: "nmi-status",
    0x64: "keyboard",
    0x70: "rtc",
    0x71: "rtc",
    0x80: "post",
    0x92: "a20",
    0xA0: "pic2",
    0xA1: "pic2",
    0x3F8: "com1",
    0x402: "debugcon",
    0x510: "fw-cfg",
    0x511: "fw-cfg",
    0xCF8: "pci-config",
    0xCF9: "reset",
    0xCFC: "pci-config",
}

MSRS: Final[dict[int, str]] = {
    0x010: "tsc",
    0x01B: "apic-base",
    0x03B: "tsc-adjust",
    0x048: "spec-ctrl",
    0x049: "pred-cmd",
    0x08B: "ucode-rev",
    0x174: "sysenter-cs",
    0x1A0: "misc-enable",
    0x277: "pat",
    0x2FF: "mtrr-def-type",
    0x6E0: "tsc-deadline",
    0x808: "x2apic-tpr",
    0x80B: "x2apic-eoi",
    0x830: "x2apic-icr",
    0x838: "x2apic-timer-count",
    0x4B564D00: "kvm-wall-clock",
    0x4B564D01: "kvm-system-time",
    0x4B564D02: "kvm-async-pf",
    0x4B564D03: "kvm-steal-time",
    0x4B564D04: "kvm-pv-eoi",
    0x4B564D05: "kvm-poll-control",
    0xC0000080: "efer",
    0xC0000081: "star",
    0xC0000082: "lstar",
    0xC0000100: "fs-base",
    0xC0000101: "gs-base",
    0xC0000102: "kernel-gs-base",
    0xC0000103: "tsc-aux",
}

# KVM's own hypercalls on x86. A guest in Hyper-V or Xen style uses other numbers.
HYPERCALLS: Final[dict[int, str]] = {
    1: "vapic-poll-irq",
    5: "kick-cpu",
    9: "clock-pairing",
    10: "send-ipi",
    11: "sched-yield",
    12: "map-gpa-range",
}

EXCEPTIONS: Final[dict[int, str]] = {
    0: "#DE",
    1: "#DB",
    2: "NMI",
    3: "#BP",
    4: "#OF",
    5: "#BR",
    6: "#UD",
    7: "#NM",
    8: "#DF",
    10: "#TS",
    11: "#NP",
    12: "#SS",
    13: "#GP",
    14: "#PF",
    16: "#MF",
    17: "#AC",
    18: "#MC",
    19: "#XM",
    20: "#VE",
    21: "#CP",
}
