# SPDX-License-Identifier: GPL-2.0-or-later
"""What each SVM exit code is. Sources: svm.py and explanation.py."""

from __future__ import annotations

from typing import Final

from kvmlog.exits.decode.registers import EXCEPTIONS
from kvmlog.exits.explain import common, events
from kvmlog.exits.explain.explanation import (
    NESTED_INSTRUCTION,
    NOT_SEEN,
    SHUTDOWN_LIKE,
    Explanation,
)
from kvmlog.exits.reasons import svm
from kvmlog.native import lib

_VMGEXIT_EVENT: Final = "SEV-ES or SNP guest: "

MEANINGS: Final[dict[int, str]] = {
    **{n: f"The guest read control register CR{n}" for n in range(0x10)},
    **{0x10 + n: f"The guest wrote control register CR{n}" for n in range(0x10)},
    **{0x20 + n: f"The guest read debug register DR{n}" for n in range(0x10)},
    **{0x30 + n: f"The guest wrote debug register DR{n}" for n in range(0x10)},
    **{
        lib.KVMLOG_SVM_EXCP_BASE + n: f"Exception {name} in the guest"
        for n, name in EXCEPTIONS.items()
        if n != 2
    },
    0x060: "An interrupt of the host came while the guest ran",
    0x061: "An NMI of the host came while the guest ran",
    0x062: "A system management interrupt came while the guest ran",
    0x063: "An INIT signal reached the CPU",
    0x064: "The guest can take interrupts again, which KVM was waiting for",
    0x065: "The guest wrote CR0 and changed more than TS and MP",
    0x066: "The guest read IDTR",
    0x067: "The guest read GDTR",
    0x068: "The guest read LDTR",
    0x069: "The guest read the task register",
    0x06A: "The guest loaded IDTR",
    0x06B: "The guest loaded GDTR",
    0x06C: "The guest loaded LDTR",
    0x06D: "The guest loaded the task register",
    0x06E: "The guest read the time-stamp counter with RDTSC",
    0x06F: "The guest read a performance counter with RDPMC",
    0x070: "The guest executed PUSHF",
    0x071: "The guest executed POPF",
    0x072: "The guest executed CPUID",
    0x073: "The guest left system management mode (RSM)",
    0x074: "The guest executed IRET, for which KVM waited to inject an NMI",
    0x075: "The guest executed INT n",
    0x076: "The guest executed INVD",
    0x077: "The guest spins: PAUSE in a loop",
    0x078: "The guest has nothing to do and executed HLT",
    0x079: "The guest executed INVLPG",
    0x07A: "The guest, a hypervisor, executed INVLPGA",
    0x07B: "The guest accessed an I/O port",
    0x07C: "The guest read or wrote a model-specific register that KVM watches",
    0x07D: "The guest switched tasks by hardware",
    0x07E: "The guest waits for an x87 error (FERR)",
    0x07F: "The guest's CPU shut down, by a triple fault",
    0x080: "The guest, a hypervisor, executed VMRUN",
    0x081: "The guest made a hypercall",
    0x082: "The guest, a hypervisor, executed VMLOAD",
    0x083: "The guest, a hypervisor, executed VMSAVE",
    0x084: "The guest, a hypervisor, executed STGI",
    0x085: "The guest, a hypervisor, executed CLGI",
    0x086: "The guest executed SKINIT",
    0x087: "The guest read the time-stamp counter with RDTSCP",
    0x088: "The guest executed ICEBP (INT1)",
    0x089: "The guest executed WBINVD or WBNOINVD",
    0x08A: "The guest executed MONITOR",
    0x08B: "The guest executed MWAIT",
    0x08C: "The guest executed MWAIT with an armed monitor",
    0x08D: "The guest set XCR0 with XSETBV",
    0x08E: "The guest executed RDPRU",
    0x08F: "The guest wrote EFER; told after the fact (SEV-ES)",
    **{0x090 + n: f"The guest wrote CR{n}; told after the fact (SEV-ES)" for n in range(0x10)},
    0x0A0: "The guest executed INVLPGB",
    0x0A1: "The guest executed INVLPGB with an operand that is not allowed",
    0x0A2: "The guest executed INVPCID",
    0x0A3: "The guest executed MCOMMIT",
    0x0A4: "The guest executed TLBSYNC",
    0x0A5: "The guest took a bus lock",
    0x0A6: "The guest executed HLT with no interrupt pending",
    0x400: "The guest touched memory that the nested page tables do not map that way",
    0x401: "AVIC could not deliver an IPI of the guest by itself",
    0x402: "The guest accessed an APIC register that AVIC does not handle",
    0x403: "SEV-ES or SNP guest asked the hypervisor for something",
    0x80000001: _VMGEXIT_EVENT + "read of an emulated device's memory",
    0x80000002: _VMGEXIT_EVENT + "write to an emulated device's memory",
    0x80000003: _VMGEXIT_EVENT + "its NMI handler is done",
    0x80000004: _VMGEXIT_EVENT + "a vCPU waits to be started",
    0x80000005: _VMGEXIT_EVENT + "where vCPUs jump to when they are started",
    0x80000010: _VMGEXIT_EVENT + "make pages private or shared",
    0x80000011: _VMGEXIT_EVENT + "a message for the security processor",
    0x80000012: _VMGEXIT_EVENT + "a message for the security processor, with certificates",
    0x80000013: _VMGEXIT_EVENT + "start or stop a vCPU",
    0x80000014: _VMGEXIT_EVENT + "set up the page for #HV events",
    0x80000015: _VMGEXIT_EVENT + "send an IPI, with restricted injection",
    0x80000016: _VMGEXIT_EVENT + "set a timer, with restricted injection",
    0x80000017: _VMGEXIT_EVENT + "the list of APIC ids",
    0x80000018: _VMGEXIT_EVENT + "run another privilege level (VMPL)",
    0x8000001A: _VMGEXIT_EVENT + "where its Secure AVIC page is",
    0x8000FFFD: _VMGEXIT_EVENT + "what the hypervisor can do",
    0x8000FFFE: _VMGEXIT_EVENT + "it wants to be ended",
    0x8000FFFF: _VMGEXIT_EVENT + "an event came that it cannot handle",
    0xF0000000: "A code that hypervisors give among themselves (Hyper-V to a nested one)",
    0xFFFFFFFC: "The guest's performance counters are in a wrong state: not entered",
    0xFFFFFFFD: "The sibling thread is not idle, as the guest asked: not entered",
    0xFFFFFFFE: "The vCPU's encrypted state is in use: not entered",
    0xFFFFFFFF: "The guest's state is not valid: not entered",
}

_IDLE_HLT: Final = common.HLT._replace(
    what="As hlt: the guest's CPU has nothing to do. On CPUs that can tell, the exit comes only if "
    "no virtual interrupt is pending, so that a HLT which would end at once costs nothing. "
    "The time in the column HALT is the guest's idle time.",
)

_INCOMPLETE_IPI: Final = Explanation(
    "The guest sent an IPI that AVIC could not deliver by itself, and KVM finishes it. info_words "
    "in `kvmlog dump --json` says why; most often the target vCPU was not running and has to be "
    "woken.",
    "IPIs to vCPUs that are halted or descheduled: wake-ups of idle CPUs, TLB flushes in an "
    "overcommitted guest; IPIs to many at once.",
    (
        "Guest: fewer wake-ups across vCPUs: keep threads that talk to each other together; "
        "cpuidle-haltpoll keeps vCPUs running for a while.",
        "Host: with CPUs of their own for the vCPUs, -overcommit cpu-pm=on: they never halt.",
        "Host: nothing if they are few beside the IPIs that AVIC delivered.",
    ),
)

_UNACCELERATED: Final = events.APIC_ACCESS._replace(
    what="The guest accessed an APIC register that AVIC leaves to KVM, before (fault) or after "
    "(trap) the access: timer start, vector table entries, the end of a level-triggered interrupt. "
    "info_words in `kvmlog dump --json` names the register.",
    causes="Timers that are not TSC-deadline (timer-count), level-triggered interrupts (eoi), the "
    "APIC's set-up at boot.",
    remedies=(
        "Guest: the TSC-deadline timer (-cpu ...,tsc-deadline=on, x2apic=on), fewer timers.",
        "Guest: MSI rather than INTx interrupts: virtio, NVMe.",
    ),
)

_WRITE_TRAP: Final = Explanation(
    "An SEV-ES or SNP guest changed EFER or a control register. KVM cannot see or change its "
    "registers and is told the new value after the fact.",
    "Boot, and the start of each vCPU; CR8 writes of Windows.",
    ("Nothing: few, and part of the design.",),
)

_IRET: Final = events.NMI_WINDOW

_RSM: Final = Explanation(
    "The guest's firmware left system management mode, which KVM emulates.",
    "UEFI firmware that stores variables in SMM (OVMF with Secure Boot): a few at boot and at "
    "each write of a variable.",
    ("Guest: fewer writes of EFI variables; Host: firmware without SMM where it is not needed.",),
)

EXPLANATIONS: Final[dict[int, Explanation]] = {
    **dict.fromkeys(range(0x20), common.CR),
    **dict.fromkeys(range(0x20, 0x40), common.DR),
    **dict.fromkeys(
        range(lib.KVMLOG_SVM_EXCP_BASE, lib.KVMLOG_SVM_LAST_EXCP + 1), events.EXCEPTION
    ),
    0x052: events.MACHINE_CHECK,
    0x060: events.EXTERNAL_INTERRUPT,
    0x061: events.NMI,
    0x062: events.SMI,
    0x063: events.INIT,
    0x064: events.INTERRUPT_WINDOW,
    0x065: common.CR,
    **dict.fromkeys(range(0x066, 0x06E), common.DESCRIPTOR_TABLE),
    0x06E: common.RDTSC,
    0x06F: common.RDPMC,
    0x070: NOT_SEEN,
    0x071: NOT_SEEN,
    0x072: common.CPUID,
    0x073: _RSM,
    0x074: _IRET,
    0x075: NOT_SEEN,
    0x076: common.WBINVD,
    0x077: common.PAUSE,
    0x078: common.HLT,
    0x079: common.INVLPG,
    0x07A: NESTED_INSTRUCTION,
    0x07B: common.IO,
    0x07C: common.MSR,
    0x07D: common.TASK_SWITCH,
    0x07E: NOT_SEEN,
    0x07F: SHUTDOWN_LIKE,
    0x080: NESTED_INSTRUCTION,
    0x081: common.HYPERCALL,
    **dict.fromkeys(range(0x082, 0x086), NESTED_INSTRUCTION),
    0x087: common.RDTSC,
    0x089: common.WBINVD,
    0x08A: common.MWAIT,
    0x08B: common.MWAIT,
    0x08C: common.MWAIT,
    0x08D: common.XSETBV,
    **dict.fromkeys(range(0x08F, 0x0A0), _WRITE_TRAP),
    0x0A2: common.INVLPG,
    0x0A5: common.BUS_LOCK,
    0x0A6: _IDLE_HLT,
    0x400: events.PAGE_FAULT,
    0x401: _INCOMPLETE_IPI,
    0x402: _UNACCELERATED,
    0x403: events.VMGEXIT,
    **dict.fromkeys(
        (code for code in svm.NAMES if 0x80000000 <= code <= 0x8000FFFF), events.VMGEXIT
    ),
    **dict.fromkeys(range(0xFFFFFFFC, 0x1_0000_0000), events.INVALID_STATE),
}
