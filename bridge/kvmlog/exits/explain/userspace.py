# SPDX-License-Identifier: GPL-2.0-or-later
"""The meaning of each KVM_EXIT_*: why the vCPU's thread left the kernel for the VMM.

Sources: reasons/userspace.py and explanation.py. Those of other architectures, and those that KVM
does not use any more, have a common text each.
"""

from __future__ import annotations

from typing import Final

from kvmlog.exits.explain.common import BUS_LOCK
from kvmlog.exits.explain.explanation import ELSEWHERE, NOT_USED, SHUTDOWN_LIKE, Explanation

_S390: Final = "s390: "
_POWER: Final = "PowerPC: "

MEANINGS: Final[dict[int, str]] = {
    0: "An exit of the CPU that KVM does not know",
    1: "An exception in the guest that KVM does not handle; not used any more",
    2: "I/O port of a device that the VMM emulates",
    3: "A hypercall that the VMM is to carry out",
    4: "A breakpoint or single step of a debugger on the guest",
    5: "The guest halted and the VMM emulates the APIC",
    6: "Memory of a device that the VMM emulates",
    7: "The guest can take interrupts, which the VMM was waiting for",
    8: "The guest's CPU shut down, by a triple fault",
    9: "The CPU refused to enter the guest",
    10: "A signal is pending for the vCPU's thread",
    11: "The guest changed its task priority; the VMM emulates the APIC",
    12: "The guest accessed its task priority register, reported to patch it",
    13: _S390 + "an intercepted instruction or event",
    14: _S390 + "the guest was reset",
    15: _POWER + "access to a device control register; not used any more",
    16: "An NMI for the guest; not used any more",
    17: "KVM cannot go on: emulation failed or an exit came that it does not expect",
    18: _POWER + "a call of the Open System Interface",
    19: _POWER + "a hypercall of the PAPR",
    20: _S390 + "a fault of a user-controlled guest",
    21: _POWER + "the guest's watchdog expired",
    22: _S390 + "TEST SUBCHANNEL with a pending interrupt",
    23: _POWER + "an external proxy read",
    24: "The guest asked for power off, reset, suspend or crashed",
    25: _S390 + "STORE SYSTEM INFORMATION",
    26: "The guest ended a level-triggered interrupt; the VMM emulates the I/O APIC",
    27: "A Hyper-V feature of the guest needs the VMM",
    28: "arm64: the guest accessed a device with an instruction that KVM does not decode",
    29: "The guest read a model-specific register that the VMM handles",
    30: "The guest wrote a model-specific register that the VMM handles",
    31: "The ring of dirty pages is full",
    32: "SEV-ES guest: a vCPU waits to be started",
    33: "The guest took a bus lock",
    34: "A Xen hypercall of the guest needs the VMM",
    35: "RISC-V: a call of the SBI needs the VMM",
    36: "RISC-V: access to a control register needs the VMM",
    37: "The guest did not let events through for longer than the notify window",
    38: "LoongArch: access to an I/O register needs the VMM",
    39: "The guest touched memory that KVM cannot map for it",
    40: "TDX guest: a request that the VMM is to carry out",
    41: "arm64: the guest used memory with an uncorrected error",
    42: "arm64: the guest accessed a device with a 64-byte load or store",
    43: "SNP guest: it asks for certificates, which the VMM has",
}

_IO: Final = Explanation(
    "The guest accessed an I/O port whose device is in the VMM, and KVM returned from KVM_RUN for "
    "it. The column VMM has the time until the VMM came back: several microseconds at best, far "
    "more than an exit that the kernel handles.",
    "As for io and IO_INSTRUCTION, of the devices that are not in the kernel: serial console, IDE "
    "and VGA, PCI configuration, ACPI, fw_cfg.",
    (
        "Guest: virtio devices, kvm-clock or the TSC as a clock, less on the serial console.",
        "Host: ioeventfd and vhost (the default of QEMU's virtio with KVM) keep kicks in the "
        "kernel.",
        "Host: an in-kernel irqchip and PIT (kernel_irqchip=on).",
        "`kvmlog explain io` has more.",
    ),
)

_MMIO: Final = Explanation(
    "The guest accessed memory of a device that is emulated in the VMM, and KVM returned from "
    "KVM_RUN for it. The column VMM has the time until the VMM came back.",
    "Doorbells and registers of emulated devices: NVMe, AHCI, e1000, USB, HPET, VGA memory; virtio "
    "without ioeventfd; on arm64 PL011 and firmware flash.",
    (
        "Guest: virtio with ioeventfd and vhost instead of emulated devices; VFIO for real ones.",
        "Guest: kvm-clock or the TSC instead of HPET (QEMU: -machine hpet=off).",
        "Host: coalesced MMIO and an iothread for devices that must stay; a flash that the guest "
        "has finished with is read as memory.",
    ),
)

_INTR: Final = Explanation(
    "A signal was pending for the vCPU's thread, so KVM_RUN returned to let the VMM handle it; "
    "with it the call mostly gives -EINTR. The guest did nothing for it.",
    "The VMM kicks its vCPUs: to inject an interrupt of an emulated device, to change memory "
    "slots, to pause or migrate the guest, for timers and its monitor.",
    (
        "Host: irqfd and an in-kernel irqchip spare kicks for interrupts.",
        "Host: fewer monitor commands that stop or inspect vCPUs (info registers and the like).",
    ),
)

_HYPERCALL: Final = Explanation(
    "The guest made a hypercall which KVM hands to the VMM: on x86 KVM_HC_MAP_GPA_RANGE, by which "
    "a confidential guest makes pages private or shared; on arm64, those that an SMCCC filter "
    "sends there.",
    "Confidential guests that convert pages: at boot, and for bounce buffers (swiotlb).",
    (
        "Guest: a larger swiotlb=, huge pages; conversions of large ranges rather than of single "
        "pages.",
    ),
)

_DEBUG: Final = Explanation(
    "A breakpoint, watchpoint or single step which the VMM asked for (KVM_SET_GUEST_DEBUG).",
    "A debugger at QEMU's gdbstub.",
    ("Host: detach the debugger.",),
)

_HLT: Final = Explanation(
    "The guest halted, and KVM returned to the VMM because the local APIC is not in the kernel; "
    "with an in-kernel APIC, the halt stays in KVM and has no such return.",
    "A VMM without an in-kernel interrupt controller: QEMU with kernel_irqchip=off, small VMMs and "
    "test programs, which take it as the guest's end.",
    ("Host: kernel_irqchip=on, or split, in QEMU.",),
)

_IRQ_WINDOW: Final = Explanation(
    "The VMM, which emulates the interrupt controller itself, had asked to be told when the guest "
    "can take an interrupt.",
    "kernel_irqchip=off; with kernel_irqchip=split, interrupts of the old PIC.",
    ("Host: kernel_irqchip=on; Guest: APIC and MSI instead of the PIC.",),
)

_TPR: Final = Explanation(
    "The guest touched its task priority where the VMM wants to know: because it emulates the APIC "
    "(SET_TPR), or to patch 32-bit Windows so that it does not exit each time (TPR_ACCESS).",
    "kernel_irqchip=off; 32-bit Windows at boot.",
    ("Host: kernel_irqchip=on and a CPU with APIC virtualisation.",),
)

_FAIL_ENTRY: Final = Explanation(
    "The CPU refused to enter the guest; KVM gives its reason to the VMM and the guest usually "
    "ends.",
    "A guest state that is not valid (a bad restore, a mistake in the CPU model), or a bug in KVM "
    "or in the hypervisor below a nested one.",
    (
        "Host: read the VMM's log and the kernel's; dump_invalid_vmcs=1 (kvm_intel) or "
        "dump_invalid_vmcb=1 (kvm_amd) prints the state.",
    ),
)

_INTERNAL_ERROR: Final = Explanation(
    "KVM cannot go on with this vCPU: it met an instruction that it cannot emulate, or an exit or "
    "an event that should not be. QEMU pauses the guest and prints the registers.",
    "The guest executed code from, or used an unusual instruction on, emulated device memory; a "
    "page table of the guest that points into a device; a bug in KVM.",
    (
        "Host: the VMM's log has the instruction's bytes; rip is in `kvmlog dump --json`.",
        "Guest: a driver that uses SIMD on device memory; try another emulated device.",
        "Host: update the kernel: emulation is completed from version to version.",
    ),
)

_SYSTEM_EVENT: Final = Explanation(
    "The guest asked for something that concerns all of it: power off, reset, suspend, wake-up, or "
    "it reported a crash.",
    "Once at the end of a guest's run: arm64 and RISC-V by PSCI or SBI, Hyper-V guests when they "
    "crash, SEV guests that end themselves.",
    ("Guest: if it was not on purpose, its console says why.",),
)

_IOAPIC_EOI: Final = Explanation(
    "The guest ended a level-triggered interrupt whose I/O APIC is in the VMM (split irqchip), "
    "which has to know to lower the line.",
    "Devices with INTx interrupts: emulated cards, USB, AHCI, SCSI controllers without MSI.",
    (
        "Guest: devices with MSI or MSI-X: virtio, NVMe.",
        "Host: kernel_irqchip=on instead of split.",
    ),
)

_HYPERV: Final = Explanation(
    "The guest used a Hyper-V feature that the VMM carries out: a change of the synthetic "
    "interrupt controller (SynIC), a hypercall, or the synthetic debugger.",
    "Windows at boot; VMBus devices in use; kernel debugging over hv-syndbg.",
    ("Host: leave out hv-* enlightenments that nothing uses (hv-syndbg, VMBus).",),
)

_NISV: Final = Explanation(
    "On arm64 the CPU describes only simple loads and stores of a device access to KVM. This one "
    "was another (a pair, with write-back, SIMD), and the VMM may decode it or end the guest.",
    "A driver in the guest, or code that its compiler made, that is not meant for device memory.",
    ("Guest: use readl() and writel() and their like for device registers.",),
)

_USER_MSR: Final = Explanation(
    "The guest accessed a model-specific register that the VMM asked to see "
    "(KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR): one that KVM does not know, or of which "
    "the VMM has its own idea.",
    "Power and energy registers (RAPL, which QEMU can emulate), MSRs of another CPU model, a guest "
    "that polls sensors.",
    (
        "Guest: stop tools that poll the register: turbostat, powertop, sensors.",
        "Host: a smaller filter; QEMU: without rapl=on in -accel kvm.",
    ),
)

_DIRTY_RING: Final = Explanation(
    "The vCPU's ring of dirty pages is full, and the vCPU waits until the VMM has read it.",
    "Live migration of a guest that writes faster than the VMM collects; a small ring. With "
    "dirty-limit this is how QEMU slows the guest down on purpose.",
    (
        "Host: a larger ring (-accel kvm,dirty-ring-size=N).",
        "Host: let the migration have more bandwidth, or migrate when the guest writes less.",
    ),
)

_AP_RESET_HOLD: Final = Explanation(
    "A vCPU of an SEV-ES guest is parked and waits for its start-up IPI.",
    "Once per vCPU at boot or when one goes offline.",
    (),
)

_XEN: Final = Explanation(
    "A guest in Xen style made a hypercall that the VMM carries out.",
    "QEMU's Xen emulation (-accel kvm,xen-version=): event channels, grant tables, timers.",
    ("Guest: drivers for virtio rather than Xen's, if the guest has them.",),
)

_NOTIFY: Final = Explanation(
    "For longer than the notify window the guest let no event through, and the VMM asked to be "
    "told.",
    "An attack on the host or a badly broken guest. Rare.",
    ("Host: QEMU's notify-vmexit=run|internal-error|disable says what is done.",),
)

_MEMORY_FAULT: Final = Explanation(
    "The guest touched memory that KVM cannot map: as private where it is set up as shared or the "
    "other way round, or memory for which there is no host page. With it KVM_RUN gives -EFAULT or "
    "-EHWPOISON.",
    "Confidential guests (SNP, TDX) that convert pages by touching them; otherwise a mistake of "
    "the VMM, or memory that failed.",
    (
        "Guest: convert pages by a request rather than by touching, and in large ranges.",
        "Host: if the guest ends with it, look at the VMM's memory set-up.",
    ),
)

_TDX: Final = Explanation(
    "A TDX guest made a request that the VMM carries out: a quote, its capabilities, an interrupt "
    "to be notified by.",
    "Attestation; rare otherwise.",
    ("Guest: attest once and keep the result.",),
)

_SEA: Final = Explanation(
    "The guest used memory with an error that the hardware could not correct; the VMM may give the "
    "error to the guest.",
    "Failing memory.",
    ("Host: replace the memory; rasdaemon says which.",),
)

_CERTS: Final = Explanation(
    "An SNP guest asked for an attestation report with certificates, which the VMM keeps.",
    "Attestation; rare otherwise.",
    ("Guest: attest once and keep the result.",),
)

_UNKNOWN: Final = Explanation(
    "The CPU gave an exit reason that KVM does not know; hardware_exit_reason in kvm_run has it. "
    "It is also the value 0 that an interrupted KVM_RUN may leave.",
    "A CPU or a hypervisor below this one that is newer than the kernel.",
    ("Host: a newer kernel.",),
)

EXPLANATIONS: Final[dict[int, Explanation]] = {
    **dict.fromkeys((1, 15, 16), NOT_USED),
    **dict.fromkeys((13, 14, *range(18, 24), 25, 35, 36, 38), ELSEWHERE),
    0: _UNKNOWN,
    2: _IO,
    3: _HYPERCALL,
    4: _DEBUG,
    5: _HLT,
    6: _MMIO,
    7: _IRQ_WINDOW,
    8: SHUTDOWN_LIKE,
    9: _FAIL_ENTRY,
    10: _INTR,
    11: _TPR,
    12: _TPR,
    17: _INTERNAL_ERROR,
    24: _SYSTEM_EVENT,
    26: _IOAPIC_EOI,
    27: _HYPERV,
    28: _NISV,
    29: _USER_MSR,
    30: _USER_MSR,
    31: _DIRTY_RING,
    32: _AP_RESET_HOLD,
    33: BUS_LOCK,
    34: _XEN,
    37: _NOTIFY,
    39: _MEMORY_FAULT,
    40: _TDX,
    41: _SEA,
    42: _NISV,
    43: _CERTS,
}
