# SPDX-License-Identifier: GPL-2.0-or-later
"""Explanations of faults, interrupts and the APIC on VMX and SVM. Sources: explanation.py."""

from __future__ import annotations

from typing import Final

from kvmlog.exits.explain.explanation import Explanation

_MMIO_REMEDIES: Final = (
    "Guest: virtio instead of emulated devices; modern virtio kicks are taken by an ioeventfd in "
    "the kernel, without the VMM.",
    "Host: vhost-net, vhost-user or an iothread, so that a kick does not wait for the VMM; packed "
    "rings and event_idx mean fewer kicks; VFIO passes the device's memory to the guest.",
    "Guest: a clock from kvm-clock or the TSC, not HPET (QEMU: -machine hpet=off).",
    "Host: local APIC: offer x2APIC (-cpu ...,x2apic=on) and enable_apicv=1 or avic=1.",
)

PAGE_FAULT: Final = Explanation(
    "The guest touched memory that the nested page tables (EPT, NPT) do not map that way. KVM "
    "finds the host's page and maps it, or write-protects and unprotects it for its own ends. The "
    "guest does not notice but for the time. The column DETAIL has the guest physical address.",
    "Memory touched for the first time, most of all after start, restore or ballooning; dirty "
    "logging during live migration, once per page and round; pages that the host took away or "
    "split: swap, KSM, NUMA balancing, khugepaged. On AMD, also each access to an emulated device: "
    "then info_words in `kvmlog dump --json` says that a reserved bit is set.",
    (
        "Host: huge pages for guest memory, from hugetlbfs or transparent ones "
        "(/sys/kernel/mm/transparent_hugepage): up to 512 times fewer faults.",
        "Host: preallocate (QEMU: memory-backend-...,prealloc=on) if start-up latency matters.",
        "Host: no swap, KSM or NUMA balancing on hosts of latency-sensitive guests; pin memory and "
        "vCPUs to one node.",
        "Host: during migration: the dirty ring, eager_page_split=1 (kvm, the default), one "
        "migration at a time.",
        "Host: Intel: nx_huge_pages=off (kvm) on CPUs that are not affected by iTLB multihit.",
        "Guest: less free-page reporting or ballooning if pages come back soon after.",
        *_MMIO_REMEDIES,
    ),
)

EPT_MISCONFIG: Final = Explanation(
    "The guest touched an address that KVM marked as that of an emulated device, with an EPT entry "
    "that is wrong on purpose; the CPU tells this apart from a missing page at no cost. KVM "
    "emulates the instruction and asks an ioeventfd, its own devices, or the VMM.",
    "Registers of emulated devices in use: the kick of a modern virtio device (the cheap kind: an "
    "ioeventfd), NVMe or e1000 doorbells, HPET read as a clock, xAPIC without APIC virtualisation.",
    _MMIO_REMEDIES,
)

EXTERNAL_INTERRUPT: Final = Explanation(
    "An interrupt of the host came while the guest ran. It is not the guest's: the host handles "
    "it and the guest goes on. On VMX the column DETAIL has the host's vector, named where Linux "
    "always uses it so.",
    "The host's timer tick on this CPU (timer), devices whose interrupts are routed here, other "
    "CPUs that ask this one to reschedule or run a function (reschedule, call-function: vCPU "
    "wake-ups, TLB flushes), interrupts for a guest without posted interrupts.",
    (
        "Host: move device interrupts to other CPUs (irqbalance's banned CPUs, smp_affinity).",
        "Host: isolate vCPU CPUs: nohz_full=, isolcpus=managed_irq, rcu_nocbs=.",
        "Host: posted interrupts for passed-through devices: an IOMMU with interrupt posting, "
        "enable_apicv=1 or avic=1; then their interrupts reach the guest without an exit.",
        "Host: less noise: no frequent `perf`, fewer mprotect and munmap in the VMM's process.",
    ),
)

INTERRUPT_WINDOW: Final = Explanation(
    "KVM had an interrupt for the guest which the guest could not take then, and asked the CPU to "
    "exit as soon as it can. Now it can, and the interrupt is injected.",
    "Interrupts that arrive while the guest runs with interrupts disabled or is handling another; "
    "a host without APIC virtualisation, where each injection is KVM's work.",
    (
        "Host: enable_apicv=1 (kvm_intel) or avic=1 (kvm_amd): the CPU delivers by itself.",
        "Guest: fewer interrupts: coalescing on network and storage, MSI-X rather than INTx.",
        "Host: AVIC and APICv stay off where they cannot do what the guest needs: AutoEOI of "
        "Hyper-V's SynIC (QEMU: hv-avic=on asks Windows not to use it), or a PIT that reinjects "
        "ticks (-global kvm-pit.lost_tick_policy=discard).",
    ),
)

NMI_WINDOW: Final = Explanation(
    "KVM had an NMI for the guest while the guest still handled another, and asked to be told when "
    "it may inject it: when the guest leaves its NMI handler.",
    "NMIs in the guest: perf and the NMI watchdog through the virtual PMU, QEMU's inject-nmi.",
    (
        "Guest: nowatchdog; stop profiling with hardware events.",
        "Host: on AMD since Zen 4, vnmi=1 (kvm_amd) lets the CPU handle NMIs itself.",
    ),
)

NMI: Final = Explanation(
    "An NMI of the host came while the guest ran: the host handles it. It is not the guest's.",
    "perf or the NMI watchdog on the host; rarely a hardware error or a console's NMI button.",
    ("Host: nmi_watchdog=0 on hosts where every microsecond counts; stop system-wide perf.",),
)

EXCEPTION: Final = Explanation(
    "An exception in the guest that KVM asked to see before the guest does; the column DETAIL or "
    "the reason has the vector. With nested paging these are few: KVM watches #UD and #MC always, "
    "#DB and #BP for a debugger, #AC for split locks, #GP in special configurations, #PF with "
    "shadow paging.",
    "#PF: nested paging is off. #UD: the other vendor's hypercall instruction, or another that KVM "
    "emulates. #DB, #BP: a debugger on the guest. #AC: split locks. #GP: VMware's backdoor is "
    "enabled. NMI (vector 2, VMX): the host's own NMIs, from perf or its watchdog.",
    (
        "Host: nested paging: ept=1 (kvm_intel) or npt=1 (kvm_amd).",
        "Host: detach debuggers; enable_vmware_backdoor=0 (kvm) unless it is used.",
        "Host: NMIs: nmi_watchdog=0, no system-wide perf.",
        "Guest: find the program that causes #UD or #AC: rip in `kvmlog dump --json`.",
    ),
)

MACHINE_CHECK: Final = Explanation(
    "The CPU found a hardware error while the guest ran. The host handles it as its own; memory "
    "that is lost becomes a machine check of the guest that used it.",
    "Failing memory or a failing CPU.",
    ("Host: read rasdaemon or the kernel log, and replace the part.",),
)

INIT: Final = Explanation(
    "An INIT or start-up IPI for the host's CPU arrived while a guest ran. It is not the guest's: "
    "those between vCPUs are made by KVM.",
    "Rare: the host shuts down or takes a CPU offline.",
    (),
)

SMI: Final = Explanation(
    "A system management interrupt came while the guest ran: the firmware takes the CPU away from "
    "host and guest alike.",
    "The host's firmware: power and fan control, USB keyboard emulation, error logging.",
    (
        "Host: switch legacy USB and energy features off in the firmware set-up; "
        "`turbostat` counts SMIs.",
    ),
)

INVALID_STATE: Final = Explanation(
    "The CPU refused to enter the guest because the guest's state, as KVM set it, is not valid. "
    "KVM tells the VMM by KVM_EXIT_FAIL_ENTRY or an internal error, and the guest usually ends.",
    "A wrong state given by the VMM (a bad restore or migration, a mistake in its CPU model), a "
    "bug in KVM, or a nested hypervisor that builds a wrong state.",
    (
        "Host: read the kernel log: dump_invalid_vmcs=1 (kvm_intel) or dump_invalid_vmcb=1 "
        "(kvm_amd) prints the state.",
        "Host: update the kernel; on old Intel CPUs unrestricted_guest=1 avoids real-mode tricks.",
    ),
)

DIRTY_LOG: Final = Explanation(
    "The CPU's log of pages that the guest wrote (PML, 512 entries) is full; KVM copies it into "
    "the dirty bitmap or ring.",
    "Live migration or a snapshot of a guest that writes much memory: one exit per 512 pages.",
    (
        "Host: none needed: it replaces 512 write faults. Migrate when the guest writes less, or "
        "let QEMU throttle it (auto-converge, dirty-limit).",
    ),
)

APIC_ACCESS: Final = Explanation(
    "The guest touched its local APIC in memory (xAPIC mode, page 0xfee00000) in a way that the "
    "CPU's APIC virtualisation does not handle, and KVM emulates the access. info_words in "
    "`kvmlog dump --json` names the register.",
    "A guest in xAPIC mode: each EOI, IPI or timer start costs one where virtualisation of APIC "
    "registers is missing. Windows and old Linux do it, and guests of which x2APIC was hidden.",
    (
        "Host: offer x2APIC (-cpu ...,x2apic=on); Linux takes it by itself.",
        "Host: enable_apicv=1 (kvm_intel) or avic=1 (kvm_amd).",
        "Guest: Windows without APIC virtualisation: hv-vapic.",
    ),
)

VMGEXIT: Final = Explanation(
    "An SEV-ES or SEV-SNP guest, whose registers KVM cannot see, asked for something through its "
    "shared page (GHCB). What it asks for is an exit of its own kind: I/O, MSR, CPUID, MMIO or one "
    "of the vmgexit_* events.",
    "What causes exits in an ordinary guest, only dearer; memory that the guest turns from private "
    "into shared and back, above all bounce buffers of devices (swiotlb).",
    (
        "Guest: as for the exit it stands for: virtio, fewer timers, x2APIC; a larger swiotlb= "
        "so that buffers are not converted again and again.",
        "Host: nothing; the guest's registers cannot be seen, so KVM cannot shorten the way.",
    ),
)
