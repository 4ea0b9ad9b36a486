# SPDX-License-Identifier: GPL-2.0-or-later
"""Explanations of instructions that exit alike on VMX and SVM. Sources: explanation.py."""

from __future__ import annotations

from typing import Final

from kvmlog.exits.explain.explanation import Explanation

_CPU_PM: Final = (
    "Host: if the vCPUs have host CPUs of their own, QEMU's -overcommit cpu-pm=on "
    "(KVM_CAP_X86_DISABLE_EXITS) lets the guest run HLT, MWAIT and PAUSE without exits. The host "
    "then sees these CPUs as busy all the time."
)

HLT: Final = Explanation(
    "The guest's CPU had nothing to run and executed HLT. KVM takes the CPU back until an "
    "interrupt for this vCPU comes: it first polls for up to halt_poll_ns, then puts the vCPU's "
    "thread to sleep. The time in the column HALT is the guest's idle time, not overhead; what it "
    "costs is the way to sleep and back, felt as latency when the wake-up matters.",
    "An idle guest; many are harmless. Thousands per second on a busy guest: threads that wait "
    "for each other or for the network a few microseconds at a time, or a guest with a high tick "
    "rate.",
    (
        "Host: raise /sys/module/kvm/parameters/halt_poll_ns (KVM_CAP_HALT_POLL for one guest) if "
        "wake-ups should be faster; lower it, down to 0, if others need the CPUs more.",
        "Guest: Linux' cpuidle-haltpoll polls before HLT and tells KVM not to; idle=poll never "
        "halts, at the price of a CPU that is always busy.",
        _CPU_PM,
        "Guest: fewer wake-ups: a tickless kernel, batching (NAPI, io_uring), fewer vCPUs.",
    ),
)

PAUSE: Final = Explanation(
    "The guest spun on PAUSE for so long that the CPU's pause-loop detection (PLE; on AMD the "
    "pause filter) gave control to KVM. KVM lets another vCPU of the same guest run first, in "
    "the hope that it is the one that holds the lock.",
    "More busy vCPUs than host CPUs: the holder of a spinlock, or the target of an IPI that is "
    "waited for, does not run.",
    (
        "Host: give the guest fewer vCPUs or more host CPUs; look at the column NOTES for "
        "'waited ... for a CPU', which shows the overcommit.",
        "Guest: paravirtual spinlocks: CONFIG_PARAVIRT_SPINLOCKS and KVM_FEATURE_PV_UNHALT (QEMU "
        "kvm-pv-unhalt) on Linux, hv-spinlocks on Windows.",
        "Host: tune ple_gap and ple_window (kvm_intel) or pause_filter_thresh and "
        "pause_filter_count (kvm_amd); ple_gap=0 or pause_filter_count=0 switches it off, right "
        "where nothing is overcommitted.",
        _CPU_PM,
    ),
)

IO: Final = Explanation(
    "The guest executed IN, OUT, INS or OUTS on an I/O port. The port, in the column DETAIL, "
    "names the device. KVM emulates timers and interrupt controllers itself; for all other ports "
    "it returns to the VMM (column VMM), unless an ioeventfd takes the write in the kernel.",
    "Emulated devices on the hot path: a serial console (com1), IDE or VGA, the ACPI PM timer "
    "used as a clock (acpi-pm-timer), transitional virtio devices that are kicked through a port. "
    "At boot, firmware: fw-cfg, pci-config, debugcon.",
    (
        "Guest: use virtio disks and network cards, and modern ones (disable-legacy=on), instead "
        "of emulated IDE, AHCI, e1000 or rtl8139.",
        "Guest: take kvm-clock or the TSC as clock source, on Windows hv-time; not acpi_pm.",
        "Guest: less on the serial console: no console=ttyS0 log level above warnings; use a "
        "virtio console.",
        "Host: leave out what is not needed (-nodefaults, no floppy, no VGA); vhost and "
        "iothreads where the time is spent in the VMM.",
    ),
)

MSR: Final = Explanation(
    "The guest read or wrote a model-specific register that KVM intercepts; the column DETAIL "
    "has its number and name. Those that the guest uses all the time and that do no harm (FS and "
    "GS base, SYSENTER, LSTAR, often SPEC_CTRL) are let through by the MSR bitmap.",
    "Most often tsc-deadline (a timer is armed) and x2apic-icr (an IPI is sent), both handled on "
    "a fast path; x2apic-eoi without APIC virtualisation; PMU registers while something like perf "
    "or an NMI watchdog runs in the guest; spec-ctrl on some CPUs; hv-* in a Windows guest.",
    (
        "Host: enable APIC virtualisation: enable_apicv=1 (kvm_intel), avic=1 with x2AVIC "
        "(kvm_amd); it removes EOI and TPR writes, IPI virtualisation also ICR writes.",
        "Guest: fewer timers: a tickless kernel, fewer high-resolution timers; on Windows hv-time, "
        "hv-stimer, hv-stimer-direct, hv-synic.",
        "Guest: nowatchdog, no perf in the guest; Host: -cpu ...,pmu=off where nobody needs it.",
        "Guest: kvm-pv-eoi (KVM_FEATURE_PV_EOI) saves EOIs where there is no APICv; "
        "kvm-pv-ipi (KVM_FEATURE_PV_SEND_IPI) sends one IPI to many vCPUs at once.",
        "Host: check that no KVM_X86_SET_MSR_FILTER sends the register to the VMM.",
    ),
)

CPUID: Final = Explanation(
    "The guest executed CPUID, which always exits on Intel and which KVM intercepts on AMD too. "
    "KVM answers from a table that the VMM gave it; the leaf, with the subleaf where it has some, "
    "stands in the column DETAIL.",
    "Many short-lived processes (each C library asks for features and caches as it starts), "
    "language runtimes that detect features, CPUID used as a serialising instruction around "
    "RDTSC, and a hypervisor or a licence check that looks for the one below it.",
    (
        "Guest: in code of your own, serialise with LFENCE or RDTSCP, and ask CPUID once.",
        "Guest: fewer process starts per second, if that is where they come from.",
        "Host: nothing; the exit cannot be switched off.",
    ),
)

HYPERCALL: Final = Explanation(
    "The guest called the hypervisor on purpose, with VMCALL or VMMCALL. The column DETAIL has "
    "RAX, which is the number of a KVM hypercall; a guest with Hyper-V enlightenments passes its "
    "number elsewhere.",
    "Paravirtual work that replaces dearer exits: kick-cpu from paravirtual spinlocks under "
    "overcommit, send-ipi for an IPI to many vCPUs, sched-yield when the target of an IPI does not "
    "run, Hyper-V calls for TLB flushes and IPIs.",
    (
        "Host: kick-cpu and sched-yield in numbers mean overcommit: fewer vCPUs or more CPUs.",
        "Guest: many TLB flushes: huge pages, fewer unmaps (allocator tuning) and less migration "
        "of threads between vCPUs.",
        "Usually no problem: without these calls there would be more exits, not fewer.",
    ),
)

RDTSC: Final = Explanation(
    "The guest read the time-stamp counter and KVM had asked to see it. Normally the CPU answers "
    "itself, with an offset and a scale that KVM gave.",
    "The host's TSC is not usable as it is: it differs between CPUs, stops in sleep states, or "
    "the guest came from a host of another frequency and this CPU cannot scale; or a hypervisor "
    "in the guest asked for the exit.",
    (
        "Host: check the clock source (/sys/devices/system/clocksource); `tsc` should be stable.",
        "Host: migrate between hosts of one TSC frequency, or CPUs with TSC scaling.",
        "Guest: kvm-clock, or hv-time on Windows, where the TSC cannot be trusted.",
    ),
)

RDPMC: Final = Explanation(
    "The guest read a performance counter with RDPMC, which KVM emulates with perf on the host.",
    "perf, a profiler or an NMI watchdog in the guest, above all user-space code that maps the "
    "counters.",
    (
        "Guest: stop the profiler when done; nowatchdog.",
        "Host: -cpu ...,pmu=off if the guest needs no counters.",
    ),
)

MWAIT: Final = Explanation(
    "The guest executed MONITOR or MWAIT, which KVM by default does not offer; KVM treats both as "
    "doing nothing, so a guest that idles this way spins.",
    "A guest that uses MWAIT although CPUID does not announce it (old macOS), or one that was "
    "offered it without the host letting it through.",
    (
        "Guest: idle with HLT (Linux: idle=halt).",
        _CPU_PM,
    ),
)

INVLPG: Final = Explanation(
    "The guest invalidated one page or one address space in its TLB, and KVM keeps shadow page "
    "tables which have to follow. With EPT or NPT there is no such exit.",
    "Nested paging is off (ept=0, npt=0, a CPU without it), or a hypervisor in the guest runs its "
    "own guest with shadow paging.",
    (
        "Host: load kvm_intel with ept=1, kvm_amd with npt=1, both the default.",
        "Guest: in a nested hypervisor, use nested paging there too.",
    ),
)

CR: Final = Explanation(
    "The guest read or wrote a control register that KVM watches: bits of CR0 and CR4 which "
    "change paging or need KVM's consent, CR3 only with shadow paging, CR8 (the task priority) "
    "where the CPU has no virtual TPR.",
    "Boot, and the start of each vCPU. Later: CR3 in numbers means that nested paging is off; "
    "CR8 a Windows guest without APIC virtualisation; CR4 or CR0 a guest that toggles PGE to flush "
    "its TLB, or TS to switch the FPU lazily (old kernels).",
    (
        "Host: nested paging: ept=1 or npt=1; Intel: unrestricted_guest=1.",
        "Host: CR8: flexpriority=1 (kvm_intel, the default) or avic=1 (kvm_amd).",
        "Guest: a newer kernel; PCID and INVPCID offered (-cpu host) make TLB flushes cheaper.",
    ),
)

DR: Final = Explanation(
    "The guest read or wrote a debug register. KVM loads the guest's debug registers only when "
    "they are used: after the first such exit the guest has them for itself until the vCPU is "
    "descheduled.",
    "Debuggers and hardware breakpoints in the guest (gdb watchpoints, perf breakpoints), or "
    "protection software which uses them all the time; a debugger attached to the guest "
    "(QEMU's gdbstub).",
    (
        "Guest: remove breakpoints that are no longer needed.",
        "Host: detach the gdbstub.",
    ),
)

WBINVD: Final = Explanation(
    "The guest wrote back and invalidated its caches (WBINVD, INVD). KVM carries it out on the "
    "CPUs that the guest ran on only if a passed-through device can bypass the caches; else it "
    "does nothing.",
    "Changing memory types (MTRR, PAT) and offlining CPUs; drivers of graphics cards that are "
    "passed through.",
    (
        "Guest: a driver that flushes by range (CLFLUSH) instead.",
        "Host: pass through devices that snoop caches; it is rare otherwise.",
    ),
)

XSETBV: Final = Explanation(
    "The guest set XCR0, which says what extended state (AVX, AVX-512, AMX) it uses. The exit "
    "cannot be avoided; KVM loads the value before it enters the guest.",
    "Once per vCPU at boot. More: a nested hypervisor whose host and guests have different XCR0.",
    ("Guest: offer nested guests the same features as their hypervisor has.",),
)

BUS_LOCK: Final = Explanation(
    "The guest took a bus lock: a locked operation across two cache lines (split lock) or on "
    "uncached memory. It holds up the memory of all CPUs of the host, and so KVM can be asked to "
    "notice it and to tell the VMM.",
    "A program in the guest with a misaligned atomic variable; old games and drivers.",
    (
        "Guest: find and align the variable: rip in `kvmlog dump --json` is the instruction; "
        "split_lock_detect= in the guest's Linux shows or slows the program.",
        "Host: QEMU's bus-lock-ratelimit limits how much a guest may do of it.",
    ),
)

TASK_SWITCH: Final = Explanation(
    "The guest switched tasks by hardware (TSS), which KVM emulates. 64-bit code cannot do it.",
    "32-bit systems that use task gates, mainly for double faults and NMIs.",
    ("Guest: nothing; systems of these days do not use it.",),
)

DESCRIPTOR_TABLE: Final = Explanation(
    "The guest read or loaded GDTR, IDTR, LDTR or TR. KVM asks for it only to emulate UMIP, which "
    "keeps user programs from reading these, on a CPU without it.",
    "User programs in the guest that execute SGDT, SIDT, SLDT or STR: old virtual machine "
    "detectors, Wine.",
    (
        "Host: usually nothing; without UMIP in the guest's CPU (-cpu ...,umip=off) there are no "
        "such exits.",
    ),
)
