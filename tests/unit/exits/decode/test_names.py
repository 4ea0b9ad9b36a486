# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of MSRs, ports, addresses, vectors and leaves against literal values of the manuals."""

from __future__ import annotations

import itertools

import pytest

from kvmlog.exits.decode import lapic, msrs, ports, registers
from kvmlog.exits.decode.gpa import REGIONS, device_words, gpa_name, gpa_note


@pytest.mark.parametrize(
    ("msr", "name"),
    [
        # Intel SDM volume 4.
        (0x10, "tsc"),
        (0x1B, "apic-base"),
        (0x3A, "feature-control"),
        (0x48, "spec-ctrl"),
        (0x49, "pred-cmd"),
        (0x8B, "ucode-rev"),
        (0xC1, "pmc0"),
        (0xC8, "pmc7"),
        (0x10A, "arch-capabilities"),
        (0x10B, "flush-cmd"),
        (0x174, "sysenter-cs"),
        (0x186, "perf-evtsel0"),
        (0x1A0, "misc-enable"),
        (0x1CD, "fred-rsp1"),
        (0x1D1, "fred-ssp1"),
        (0x1D9, "debugctl"),
        (0x200, "mtrr-base0"),
        (0x201, "mtrr-mask0"),
        (0x213, "mtrr-mask9"),
        (0x214, None),
        (0x26F, "mtrr-fix4k-7"),
        (0x277, "pat"),
        (0x281, "mc1-ctl2"),
        (0x2FF, "mtrr-def-type"),
        (0x30A, "fixed-ctr1"),
        (0x38F, "perf-global-ctrl"),
        (0x400, "mc0-ctl"),
        (0x40D, "mc3-status"),
        (0x47F, "mc31-misc"),
        (0x48B, "vmx-proc2"),
        (0x4C1, "pmc0-full"),
        (0x6A2, "s-cet"),
        (0x6E0, "tsc-deadline"),
        (0x774, "hwp-request"),
        (0xDA0, "xss"),
        (0x14CE, "arch-lbr-ctl"),
        # x2APIC: 0x800 and a sixteenth of the offset in memory.
        (0x802, "x2apic-id"),
        (0x808, "x2apic-tpr"),
        (0x80B, "x2apic-eoi"),
        (0x80F, "x2apic-svr"),
        (0x817, "x2apic-isr7"),
        (0x820, "x2apic-irr0"),
        (0x830, "x2apic-icr"),
        (0x832, "x2apic-lvt-timer"),
        (0x838, "x2apic-timer-count"),
        (0x83E, "x2apic-timer-divide"),
        (0x83F, "x2apic-self-ipi"),
        (0x801, None),
        # Long mode, and AMD APM volume 2, appendix A.
        (0xC0000080, "efer"),
        (0xC0000082, "lstar"),
        (0xC0000084, "sfmask"),
        (0xC0000103, "tsc-aux"),
        (0xC0000104, "tsc-ratio"),
        (0xC0010015, "hwcr"),
        (0xC0010017, "iorr-mask0"),
        (0xC0010064, "pstate0"),
        (0xC0010117, "vm-hsave-pa"),
        (0xC001011F, "virt-spec-ctrl"),
        (0xC0010130, "ghcb"),
        (0xC0010200, "perf-evtsel0"),
        (0xC001020B, "pmc5"),
        (0xC0011029, "de-cfg"),
        (0xC0002011, "smca1-status"),
        # KVM and Hyper-V.
        (0x4B564D01, "kvm-system-time"),
        (0x4B564D07, "kvm-async-pf-ack"),
        (0x12, "kvm-system-time-old"),
        (0x40000001, "hv-hypercall"),
        (0x40000070, "hv-eoi"),
        (0x40000092, "hv-sint2"),
        (0x400000B0, "hv-stimer0-cfg"),
        (0x400000B7, "hv-stimer3-cnt"),
        (0x40000105, "hv-crash-ctl"),
        # No such register.
        (0x124, None),
        (0x40000FFF, None),
        (0xFFFFFFFF, None),
    ],
)
def test_msr(msr: int, name: str | None) -> None:
    """Fixed numbers and members of ranges."""
    assert msrs.msr_name(msr) == name


def test_no_msr_range_names_what_the_table_names() -> None:
    """A range that held a fixed number would hide that one of the two is wrong."""
    inside = [
        hex(msr) for msr in msrs.MSRS for span in msrs.RANGES if span.first <= msr <= span.last
    ]
    assert inside == []
    spans = sorted((span.first, span.last) for span in msrs.RANGES)
    assert [a for a, b in itertools.pairwise(spans) if a[1] >= b[0]] == []
    assert [s for s in msrs.RANGES if (s.last - s.first + 1) % len(s.names)] == []


@pytest.mark.parametrize(
    ("port", "name"),
    [
        (0x00, "dma1"),
        (0x20, "pic1"),
        (0xA1, "pic2"),
        (0x40, "pit"),
        (0x43, "pit"),
        (0x60, "keyboard"),
        (0x61, "nmi-status"),
        (0x64, "keyboard"),
        (0x70, "rtc"),
        (0x71, "rtc"),
        (0x80, "post"),
        (0x92, "a20"),
        (0x1F0, "ide1"),
        (0x376, "ide2"),
        (0x1CE, "vbe"),
        (0x2F8, "com2"),
        (0x2E8, "com4"),
        (0x378, "lpt1"),
        (0x3BC, "lpt"),
        (0x3C0, "vga"),
        (0x3EF, "com3"),
        (0x3F6, "ide1"),
        (0x3F7, "floppy"),
        (0x3FF, "com1"),
        (0x402, "debugcon"),
        (0x4D1, "elcr"),
        (0x510, "fw-cfg"),
        (0x511, "fw-cfg"),
        (0x514, "fw-cfg-dma"),
        (0x600, "acpi-pm1-event"),
        (0x604, "acpi-pm1-control"),
        (0x608, "acpi-pm-timer"),
        (0xB004, "acpi-pm1-control"),
        (0xB008, "acpi-pm-timer"),
        (0xA00, "memory-hotplug"),
        (0xCD8, "cpu-hotplug"),
        (0xCF8, "pci-config"),
        (0xCF9, "reset"),
        (0xCFE, "pci-config"),
        (0x5658, "vmport"),
        (0x22, "imcr"),
        (0xE9, "debugcon"),
        (0xB2, "smi-command"),
        (0xF4, "debug-exit"),
        (0xF7, "debug-exit"),
        (0x501, "debug-exit"),
        (0x502, "debug-exit"),
        (0x503, None),
        (0x505, "pvpanic"),
        (0x51B, "fw-cfg-dma"),
        (0x700, "smbus"),
        (0xA18, "nvdimm"),
        (0xAE00, "pci-hotplug"),
        (0xAF00, "cpu-hotplug"),
        (0x8900, "shutdown"),
        (0x1234, None),
        (0xC000, "pci-bar"),
    ],
)
def test_port(port: int, name: str | None) -> None:
    """Ports that every PC has, or that QEMU's firmware sets, have a name."""
    assert ports.port_name(port) == name


def test_only_a_guess_is_called_likely() -> None:
    """And what every PC has is none."""
    assert [one for one in ports.PORTS if one.words.startswith("likely")] == []
    assert [one for one in ports.LIKELY if not one.words.startswith("likely")] == []
    assert ports.port_note(0x608) == "ACPI PM timer, a slow clock source (q35)"
    assert ports.port_note(0x505) == "QEMU's pvpanic: the guest reports a panic or a shutdown"
    assert ports.port_note(0x501) == "likely QEMU's isa-debug-exit at its default address"
    assert ports.port_note(0x1234) is None


@pytest.mark.parametrize(
    ("gpa", "name", "note"),
    [
        (0x1000, None, "low RAM, below 640 KiB"),
        (0xA0000, "vga", "legacy VGA memory"),
        (0xBFFFF, "vga", "legacy VGA memory"),
        (0xC0000, None, "option ROMs"),
        (0xF0000, None, "BIOS area below 1 MiB"),
        (0x100000, None, "likely RAM"),
        (0x7FFFFFFF, None, "likely RAM"),
        (
            0xB0000000,
            None,
            "likely PCI configuration space (ECAM of QEMU's q35), else RAM or PCI hole",
        ),
        (
            0xEFFFFFFF,
            None,
            "likely PCI configuration space (ECAM with OVMF, or of QEMU's microvm), else the PCI "
            "hole",
        ),
        (0xFEB00000, None, "likely a virtio-mmio device (QEMU's microvm), else the PCI hole"),
        (0xFEC10000, None, "likely the second I/O APIC of QEMU's microvm"),
        (0xD0000000, None, "likely the PCI hole: memory BARs of devices"),
        (0xFEC00000, "ioapic select", "I/O APIC"),
        (0xFEC00010, "ioapic window", "I/O APIC"),
        (0xFEC01000, None, "likely chipset registers"),
        (0xFED00000, "hpet capabilities", "HPET timer"),
        (0xFED000F4, "hpet counter", "HPET timer"),
        (0xFED00108, "hpet", "HPET timer"),
        (0xFED40000, "tpm", "TPM"),
        (0xFED45000, None, "likely chipset registers"),
        (0xFEE000B0, "lapic eoi", "local APIC in xAPIC mode"),
        (0xFEE00300, "lapic icr", "local APIC in xAPIC mode"),
        (0xFEE00380, "lapic timer-count", "local APIC in xAPIC mode"),
        (0xFEE00000, "lapic", "local APIC in xAPIC mode"),
        (0xFEE01000, None, "window of message-signalled interrupts"),
        (0xFEFFD000, None, "likely KVM's own pages (identity map, task state)"),
        (0xFFFFFFF0, None, "likely firmware flash, below 4 GiB"),
        (0x1_0000_0000, None, "above 4 GiB: likely RAM, or a 64-bit BAR far above it"),
        (2**64 - 1, None, "above 4 GiB: likely RAM, or a 64-bit BAR far above it"),
    ],
)
def test_guest_physical_address(gpa: int, name: str | None, note: str) -> None:
    """Both ends of each range match; one that depends on the machine is likely, and has no name."""
    assert gpa_name(gpa) == name
    assert gpa_note(gpa) == note


@pytest.mark.parametrize(
    ("gpa", "name", "device"),
    [
        (0xB0000000, "ecam 00:00.0", "0xb0000000-0xb0000fff (ecam 00:00.0)"),
        (0xB00FA010, "ecam 00:1f.2", "0xb00fa000-0xb00fafff (ecam 00:1f.2)"),
        (0xBFFFFFFF, "ecam ff:1f.7", "0xbffff000-0xbfffffff (ecam ff:1f.7)"),
        (0xE0108000, "ecam 01:01.0", "0xe0108000-0xe0108fff (ecam 01:01.0)"),
        (0xD0000004, "pci-bar", "0xd0000000-0xd0000fff (pci-bar)"),
        (0xFEB00200, "virtio-mmio 1", "0xfeb00200-0xfeb003ff (virtio-mmio 1)"),
        (0xFEC10010, "ioapic2", "0xfec10000-0xfec10fff (ioapic2)"),
        (0xFEE000B0, "lapic eoi", "0xfee00000-0xfee00fff (lapic)"),
        (0xFEC00010, "ioapic window", "0xfec00000-0xfec00fff (ioapic)"),
        (0xFED000F0, "hpet counter", "0xfed00000-0xfed003ff (hpet)"),
        (0xFED40024, "tpm", "0xfed40000-0xfed44fff (tpm)"),
        (0xA1234, "vga", "0xa0000-0xbffff (vga)"),
        (0xFFC00000, "flash", "0xff000000-0xffffffff (flash)"),
        (0x8_0000_1004, None, "0x800001000-0x800001fff"),
        (2**64 - 1, None, "0xfffffffffffff000-0xffffffffffffffff"),
    ],
)
def test_device_at_an_address(gpa: int, name: str | None, device: str) -> None:
    """What the VMM emulated was no RAM: a region that is only likely has a name, too."""
    assert gpa_name(gpa, is_device=True) == name
    assert device_words(gpa) == device


def test_regions_cover_all_addresses_once() -> None:
    """Side by side, as the extension searches them."""
    assert (REGIONS[0].first, REGIONS[-1].last) == (0, 2**64 - 1)
    assert all(one.last + 1 == other.first for one, other in itertools.pairwise(REGIONS))


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x20, "id"),
        (0x80, "tpr"),
        (0xB0, "eoi"),
        (0x310, "icr2"),
        (0x3E0, "timer-divide"),
        (0x40, None),
        (0x3A0, None),
    ],
)
def test_apic_register(offset: int, name: str | None) -> None:
    """Intel SDM, local APIC register address map."""
    assert lapic.register_name(offset) == name


def test_vectors_hypercalls_and_leaves() -> None:
    """A sample of each table."""
    assert [registers.EXCEPTIONS[n] for n in (6, 13, 14, 18, 29)] == (
        ["#UD", "#GP", "#PF", "#MC", "#VC"]
    )
    assert [registers.HOST_VECTORS[n] for n in (0xEC, 0xF2, 0xFB, 0xFD)] == (
        ["timer", "posted", "call-single", "reschedule"]
    )
    assert [registers.HYPERCALLS[n] for n in (5, 9, 10, 11, 12)] == (
        ["kick-cpu", "clock-pairing", "send-ipi", "sched-yield", "map-gpa-range"]
    )
    assert [registers.CPUID_LEAVES[n] for n in (0, 1, 7, 0xB, 0xD, 0x40000000, 0x80000008)] == (
        ["vendor", "features", "features-7", "topology", "xsave", "hypervisor", "address-sizes"]
    )
    assert [registers.ARM_FUNCTIONS[n] for n in (0x84000000, 0xC4000003, 0x84000009)] == (
        ["psci-version", "psci-cpu-on", "psci-system-reset"]
    )
