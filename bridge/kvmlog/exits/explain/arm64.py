# SPDX-License-Identifier: GPL-2.0-or-later
"""The meaning of each exception class of arm64. Sources: reasons/arm64.py and explanation.py."""

from __future__ import annotations

from typing import Final

from kvmlog.exits.explain.explanation import Explanation

MEANINGS: Final[dict[int, str]] = {
    0x00: "An exception of unknown cause, for example an undefined instruction",
    0x01: "The guest waits for an interrupt or an event (WFI, WFE)",
    0x03: "32-bit guest: access to a CP15 register",
    0x04: "32-bit guest: access to a 64-bit CP15 register",
    0x05: "32-bit guest: access to a CP14 (debug) register",
    0x06: "32-bit guest: load or store of a CP14 register",
    0x07: "The guest used floating point or SIMD",
    0x08: "32-bit guest: read of a floating-point ID register",
    0x09: "The guest used pointer authentication",
    0x0A: "The guest executed an instruction of another trapped kind (LD64B, ST64B and others)",
    0x0C: "32-bit guest: access to a 64-bit CP14 register",
    0x0D: "A branch of the guest did not land on a branch target",
    0x0E: "Illegal execution state",
    0x11: "32-bit guest: system call",
    0x12: "32-bit guest: hypercall",
    0x13: "32-bit guest: call of the secure monitor",
    0x15: "System call (SVC)",
    0x16: "The guest made a hypercall",
    0x17: "The guest called the secure monitor (SMC)",
    0x18: "The guest accessed a system register that KVM watches",
    0x19: "The guest used SVE",
    0x1A: "The guest, a hypervisor, returned from an exception (ERET)",
    0x1C: "Pointer authentication failed",
    0x1D: "The guest used SME",
    0x1F: "Defined by the CPU's maker, at EL3",
    0x20: "The guest fetched an instruction from memory that stage 2 does not map",
    0x21: "Instruction abort in the hypervisor itself",
    0x22: "Misaligned program counter",
    0x24: "The guest touched memory that stage 2 does not map that way",
    0x25: "Data abort in the hypervisor itself",
    0x26: "Misaligned stack pointer",
    0x27: "Memory copy or set instruction met a wrong state",
    0x28: "32-bit guest: trapped floating-point exception",
    0x2C: "Trapped floating-point exception",
    0x2D: "Guarded control stack exception",
    0x2F: "A system error (SError) reached the CPU",
    0x30: "A hardware breakpoint in the guest",
    0x31: "A hardware breakpoint in the hypervisor itself",
    0x32: "A single step of the guest",
    0x33: "A single step of the hypervisor itself",
    0x34: "A watchpoint in the guest",
    0x35: "A watchpoint in the hypervisor itself",
    0x38: "32-bit guest: BKPT instruction",
    0x3A: "32-bit guest: trapped exception vector",
    0x3C: "The guest executed BRK, with a debugger attached",
}

_WFX: Final = Explanation(
    "The guest's CPU has nothing to do (WFI), or spins with WFE until another CPU signals it. For "
    "WFI, KVM polls for up to halt_poll_ns and then puts the vCPU's thread to sleep; for WFE it "
    "lets another vCPU run.",
    "WFI: an idle guest, harmless, or one that waits for short times very often. WFE: spinlocks "
    "whose holder does not run, under overcommit.",
    (
        "Host: halt_poll_ns (kvm) trades the host's CPU time for faster wake-ups.",
        "Host: WFE: fewer vCPUs than host CPUs; KVM stops trapping it where a vCPU runs alone "
        "(newer kernels: kvm-arm.wfe_trap_policy= and kvm-arm.wfi_trap_policy=).",
        "Guest: cpuidle-haltpoll, where it exists for arm64; fewer wake-ups.",
    ),
)

_HVC: Final = Explanation(
    "The guest called the hypervisor by the SMC Calling Convention (HVC or SMC): power management "
    "of its CPUs (PSCI), mitigations, stolen time, random numbers. The column DETAIL has the "
    "function's identifier, detail_name in `kvmlog dump --json` its name.",
    "CPUs that go on- and offline, deep idle states by psci-cpu-suspend, smccc-workaround-1 on "
    "each kernel entry of CPUs that need it.",
    (
        "Guest: shallow idle (WFI) instead of psci-cpu-suspend: leave the idle states out of its "
        "device tree or ACPI.",
        "Host: a CPU with the mitigation in hardware (CSV2).",
    ),
)

_SYS64: Final = Explanation(
    "The guest accessed a system register, or executed a system instruction, that KVM traps and "
    "emulates.",
    "Sending IPIs (ICC_SGI1R_EL1), which always traps; the PMU while perf runs; "
    "timer registers without VHE or with an emulated timer; ID and debug registers at boot; cache "
    "maintenance by set and way (boot, offlining).",
    (
        "Host: GICv4.1 with its vSGIs spares the receiver of an IPI its exit.",
        "Guest: fewer IPIs: keep threads that talk to each other together; no perf, nowatchdog.",
        "Host: -cpu host,pmu=off if nobody needs the PMU.",
    ),
)

_DABT: Final = Explanation(
    "The guest touched memory that the stage-2 tables do not map that way: memory that KVM still "
    "has to map (or protects to log writes), or the registers of an emulated device. The column "
    "DETAIL has the guest physical address.",
    "First touch of memory, dirty logging during migration, swap and KSM on the host; devices: the "
    "PL011 serial port, GICv2 or the GICv3 distributor, virtio-mmio and virtio-pci kicks.",
    (
        "Host: huge pages for guest memory, prealloc=on; no swap or KSM on hosts of "
        "latency-sensitive guests.",
        "Guest: virtio with vhost or an ioeventfd instead of emulated devices; a virtio console "
        "instead of PL011.",
        "Host: GICv3 or later (-machine virt,gic-version=max) instead of GICv2.",
    ),
)

_FP: Final = Explanation(
    "The guest used floating point, SIMD, SVE or SME for the first time since it was entered, and "
    "KVM loads its registers now. Afterwards it has them until the vCPU is descheduled.",
    "Guests that are scheduled often and use SIMD each time: C libraries do, in memory copies.",
    ("Host: fewer switches between vCPUs on a CPU, and fewer exits that reach the VMM.",),
)

_DEBUG: Final = Explanation(
    "A breakpoint, watchpoint or single step while a debugger controls the guest through KVM.",
    "A debugger on the guest (QEMU's gdbstub).",
    ("Host: detach the debugger.",),
)

_NESTED: Final = Explanation(
    "The guest is itself a hypervisor (nested virtualisation) and switched to its guest by ERET, "
    "which KVM emulates.",
    "Each entry of the inner guest costs one.",
    ("Guest: reduce the exits of the inner guest first.",),
)

_SERROR: Final = Explanation(
    "The CPU reported an asynchronous hardware error while the guest ran; KVM gives it to the host "
    "or, if the host does not claim it, to the guest.",
    "Failing memory or devices; accesses of a passed-through device to addresses that do not "
    "answer.",
    ("Host: read the kernel log (APEI, GHES) and rasdaemon.",),
)

EXPLANATIONS: Final[dict[int, Explanation]] = {
    0x01: _WFX,
    0x03: _SYS64,
    0x04: _SYS64,
    0x05: _SYS64,
    0x06: _SYS64,
    0x07: _FP,
    0x0C: _SYS64,
    0x12: _HVC,
    0x13: _HVC,
    0x16: _HVC,
    0x17: _HVC,
    0x18: _SYS64,
    0x19: _FP,
    0x1A: _NESTED,
    0x1D: _FP,
    0x20: _DABT,
    0x24: _DABT,
    0x2F: _SERROR,
    0x30: _DEBUG,
    0x32: _DEBUG,
    0x34: _DEBUG,
    0x38: _DEBUG,
    0x3C: _DEBUG,
}
