# SPDX-License-Identifier: GPL-2.0-or-later
"""The meaning of each VMX exit reason. Sources: reasons/vmx.py and explanation.py."""

from __future__ import annotations

from typing import Final

from kvmlog.exits.explain import common, events
from kvmlog.exits.explain.explanation import (
    NESTED_INSTRUCTION,
    NOT_SEEN,
    SHUTDOWN_LIKE,
    Explanation,
)

MEANINGS: Final[dict[int, str]] = {
    0: "An exception in the guest that KVM watches, or an NMI of the host",
    1: "An interrupt of the host came while the guest ran",
    2: "An exception within a double fault: the guest's CPU shuts down",
    3: "An INIT signal reached the CPU",
    4: "A start-up IPI reached the CPU while it waited for one",
    7: "The guest can take interrupts again, which KVM was waiting for",
    8: "The guest can take NMIs again, which KVM was waiting for",
    9: "The guest switched tasks by hardware",
    10: "The guest executed CPUID",
    11: "The guest executed GETSEC",
    12: "The guest has nothing to do and executed HLT",
    13: "The guest executed INVD",
    14: "The guest executed INVLPG",
    15: "The guest read a performance counter with RDPMC",
    16: "The guest read the time-stamp counter with RDTSC",
    18: "The guest made a hypercall",
    19: "The guest, a hypervisor, executed VMCLEAR",
    20: "The guest, a hypervisor, executed VMLAUNCH",
    21: "The guest, a hypervisor, executed VMPTRLD",
    22: "The guest, a hypervisor, executed VMPTRST",
    23: "The guest, a hypervisor, executed VMREAD",
    24: "The guest, a hypervisor, executed VMRESUME",
    25: "The guest, a hypervisor, executed VMWRITE",
    26: "The guest, a hypervisor, executed VMXOFF",
    27: "The guest, a hypervisor, executed VMXON",
    28: "The guest accessed a control register that KVM watches",
    29: "The guest accessed a debug register",
    30: "The guest accessed an I/O port",
    31: "The guest read a model-specific register that KVM watches",
    32: "The guest wrote a model-specific register that KVM watches",
    33: "The guest's state is not valid: the entry failed",
    34: "Loading a model-specific register failed: the entry failed",
    36: "The guest executed MWAIT",
    37: "One instruction of the guest was executed, as a single step of the hypervisor",
    39: "The guest executed MONITOR",
    40: "The guest spins: PAUSE in a loop",
    41: "A machine check happened during the entry",
    43: "The guest lowered its task priority below the threshold that KVM set",
    44: "The guest accessed its local APIC in memory",
    45: "The guest ended an interrupt whose end KVM wants to know",
    46: "The guest accessed GDTR or IDTR",
    47: "The guest accessed LDTR or TR",
    48: "The guest touched memory that EPT does not map that way",
    49: "The guest touched memory of an emulated device",
    50: "The guest, a hypervisor, executed INVEPT",
    51: "The guest read the time-stamp counter with RDTSCP",
    52: "The time that KVM set with the VMX-preemption timer is over",
    53: "The guest, a hypervisor, executed INVVPID",
    54: "The guest executed WBINVD or WBNOINVD",
    55: "The guest set XCR0 with XSETBV",
    56: "The guest wrote a virtual APIC register that KVM has to act on",
    57: "The guest executed RDRAND",
    58: "The guest executed INVPCID",
    59: "The guest executed VMFUNC",
    60: "The guest executed an SGX supervisor instruction (ENCLS)",
    61: "The guest executed RDSEED",
    62: "The log of written pages is full",
    63: "The guest executed XSAVES",
    64: "The guest executed XRSTORS",
    65: "The guest executed PCONFIG",
    66: "A sub-page permission table could not be used",
    67: "The guest executed UMWAIT",
    68: "The guest executed TPAUSE",
    69: "The guest executed LOADIWKEY",
    70: "The guest executed an SGX virtualisation instruction (ENCLV)",
    72: "ENQCMD of the guest found no translation for its PASID",
    73: "ENQCMDS of the guest found no translation for its PASID",
    74: "The guest took a bus lock",
    75: "The guest did not let events through for longer than KVM's notify window",
    76: "The guest executed SEAMCALL",
    77: "A TDX guest asked the hypervisor for something (TDCALL)",
    78: "The guest executed RDMSRLIST",
    79: "The guest executed WRMSRLIST",
    80: "The guest executed URDMSR",
    81: "The guest executed UWRMSR",
    84: "The guest read a model-specific register named in the instruction",
    85: "The guest wrote a model-specific register named in the instruction (WRMSRNS)",
}

_PREEMPTION_TIMER: Final = Explanation(
    "KVM runs the timer of the guest's local APIC with the VMX-preemption timer, which counts only "
    "while the guest runs; it expired, and KVM injects the guest's timer interrupt. This is the "
    "cheap way, without a timer on the host.",
    "The guest's own timers: a tick of 100 to 1000 Hz on each busy vCPU, high-resolution timers.",
    (
        "Guest: nohz (NO_HZ_IDLE, nohz_full= on busy vCPUs), fewer short timers and sleeps.",
        "Guest: on Windows hv-stimer and hv-time.",
        "Host: preemption_timer=0 (kvm_intel) only for comparison: then a timer of the host "
        "interrupts the guest, as EXTERNAL_INTERRUPT.",
    ),
)

_TPR: Final = Explanation(
    "The guest lowered its task priority (TPR, CR8) and an interrupt that KVM holds for it can now "
    "be delivered.",
    "Windows without APIC virtualisation, which raises and lowers its priority all the time, while "
    "interrupts are pending.",
    (
        "Host: enable_apicv=1 (kvm_intel), where the CPU has it.",
        "Guest: 64-bit Windows rather than 32-bit; fewer interrupts.",
    ),
)

_EOI_INDUCED: Final = Explanation(
    "The guest ended an interrupt of which KVM has to know the end: a level-triggered one of the "
    "I/O APIC. Others end without an exit under APIC virtualisation. The vector, in the column "
    "DETAIL, is the guest's.",
    "Devices with INTx interrupts: emulated network cards, USB and AHCI controllers, a passed-"
    "through device without MSI; the PIT or RTC as a clock source.",
    (
        "Guest: devices with MSI or MSI-X: virtio, NVMe; remove USB and other emulated devices "
        "that nobody uses.",
        "Host: the split irqchip (QEMU: kernel_irqchip=split) sends these ends to the VMM as "
        "KVM_EXIT_IOAPIC_EOI: worse for a guest that has many.",
    ),
)

_APIC_WRITE: Final = Explanation(
    "The CPU wrote a virtual APIC register and then told KVM, which has to act: send an IPI (ICR), "
    "start a timer (timer-count), change a vector table entry. info_words in `kvmlog dump --json` "
    "names the register.",
    "IPIs of a guest in xAPIC mode, and timers that are not TSC-deadline.",
    (
        "Host: enable_ipiv=1 (kvm_intel) on CPUs that have IPI virtualisation (since Sapphire "
        "Rapids): IPIs to running vCPUs need no exit.",
        "Guest: x2APIC with the TSC-deadline timer (-cpu ...,x2apic=on,tsc-deadline=on).",
    ),
)

_SINGLE_STEP: Final = Explanation(
    "KVM let the guest execute exactly one instruction (monitor trap flag).",
    "A debugger on the guest, or KVM itself, which steps over an interrupt of a nested guest.",
    ("Host: detach the debugger.",),
)

_NOTIFY: Final = Explanation(
    "For longer than the notify window the guest let no event through, for example by faults that "
    "follow each other for ever; the CPU took control back, so that the guest cannot keep it for "
    "itself.",
    "An attack on the host or a badly broken guest. Rare.",
    ("Host: QEMU's notify-vmexit=run|internal-error|disable says what is done; default run.",),
)

_INVPCID: Final = Explanation(
    "The guest invalidated translations by process-context identifier. Only with shadow paging "
    "does KVM need to know.",
    "Nested paging is off.",
    ("Host: ept=1 (kvm_intel).",),
)

_ENCLS: Final = Explanation(
    "The guest executed an SGX instruction of the operating system that KVM emulates or refuses "
    "(ECREATE, EINIT for launch control).",
    "Enclaves that are created; one exit or two for each.",
    ("Guest: reuse enclaves.",),
)

_TDCALL: Final = Explanation(
    "A TDX guest, whose registers KVM cannot see, asked for something with TDG.VP.VMCALL. What it "
    "asks for stands for an exit of its own kind: I/O, MSR, CPUID, MMIO, HLT, or pages to be made "
    "private or shared. In an ordinary guest the instruction is undefined.",
    "What causes exits in an ordinary guest, only dearer; bounce buffers (swiotlb) that are "
    "converted between private and shared.",
    (
        "Guest: as for the exit it stands for: virtio, fewer timers, x2APIC; a larger swiotlb= "
        "so that buffers are not converted again and again.",
    ),
)

EXPLANATIONS: Final[dict[int, Explanation]] = {
    0: events.EXCEPTION,
    1: events.EXTERNAL_INTERRUPT,
    2: SHUTDOWN_LIKE,
    3: events.INIT,
    4: events.INIT,
    7: events.INTERRUPT_WINDOW,
    8: events.NMI_WINDOW,
    9: common.TASK_SWITCH,
    10: common.CPUID,
    11: NOT_SEEN,
    12: common.HLT,
    13: common.WBINVD,
    14: common.INVLPG,
    15: common.RDPMC,
    16: common.RDTSC,
    18: common.HYPERCALL,
    **dict.fromkeys(range(19, 28), NESTED_INSTRUCTION),
    28: common.CR,
    29: common.DR,
    30: common.IO,
    31: common.MSR,
    32: common.MSR,
    33: events.INVALID_STATE,
    34: events.INVALID_STATE,
    36: common.MWAIT,
    37: _SINGLE_STEP,
    39: common.MWAIT,
    40: common.PAUSE,
    41: events.MACHINE_CHECK,
    43: _TPR,
    44: events.APIC_ACCESS,
    45: _EOI_INDUCED,
    46: common.DESCRIPTOR_TABLE,
    47: common.DESCRIPTOR_TABLE,
    48: events.PAGE_FAULT,
    49: events.EPT_MISCONFIG,
    50: NESTED_INSTRUCTION,
    51: common.RDTSC,
    52: _PREEMPTION_TIMER,
    53: NESTED_INSTRUCTION,
    54: common.WBINVD,
    55: common.XSETBV,
    56: _APIC_WRITE,
    58: _INVPCID,
    60: _ENCLS,
    62: events.DIRTY_LOG,
    74: common.BUS_LOCK,
    75: _NOTIFY,
    76: NOT_SEEN,
    77: _TDCALL,
    84: common.MSR,
    85: common.MSR,
}

# What the flags in the high half of an exit reason say.
FLAGS: Final[dict[str, str]] = {
    "BUSY_SHADOW_STACK": "the exit left a supervisor shadow stack marked busy too early",
    "BUS_LOCK": "the guest took a bus lock just before the exit",
    "SGX_ENCLAVE_MODE": "the guest ran in an SGX enclave",
    "PENDING_MTF": "a single step of the hypervisor was pending",
    "FROM_VMX_ROOT": "the exit came from the hypervisor itself (to an SMM monitor)",
    "FAILED_VMENTRY": "the guest was not entered: the entry itself failed",
}
