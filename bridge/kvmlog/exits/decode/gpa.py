# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices and memory at guest physical addresses of a PC.

Only the VMM knows the layout. Regions that every PC has at the same address are named;
the others are described as likely, from the layouts of QEMU's q35 and i440fx machines
(docs/system and hw/i386 in QEMU: ECAM at 0xb0000000, low RAM up to 2 to 3.5 GiB).
Fixed regions: Intel SDM volume 3 (local APIC 0xfee00000), Intel's PCH data sheets
(I/O APIC 0xfec00000, HPET 0xfed00000), TCG PC Client Platform TPM Profile (0xfed40000),
IBM PC (VGA window at 0xa0000), KVM_SET_IDENTITY_MAP_ADDR and KVM_SET_TSS_ADDR as QEMU
calls them (0xfeffc000).
"""

from __future__ import annotations

from typing import Final

from kvmlog.exits.decode import lapic

_PAGE: Final = 0x1000

# IOAPIC data sheet (82093AA): an index register and a window; EOI in later ones.
_IOAPIC_REGISTERS: Final[dict[int, str]] = {0x00: "select", 0x10: "window", 0x40: "eoi"}
# IA-PC HPET specification 1.0a, "Memory Map of Registers".
_HPET_REGISTERS: Final[dict[int, str]] = {
    0x00: "capabilities",
    0x10: "config",
    0x20: "status",
    0xF0: "counter",
}

# First address behind the region, name or None, words. Sorted; the last has no end.
_REGIONS: Final[tuple[tuple[int, str | None, str], ...]] = (
    (0xA0000, None, "low RAM, below 640 KiB"),
    (0xC0000, "vga", "legacy VGA memory"),
    (0xE0000, None, "option ROMs"),
    (0x100000, None, "BIOS area below 1 MiB"),
    (0x80000000, None, "likely RAM"),
    (0xB0000000, None, "likely RAM, or the PCI hole, by machine type and memory size"),
    (0xC0000000, None, "likely PCI configuration space (ECAM of QEMU's q35), else RAM or PCI hole"),
    (0xFEC00000, None, "likely the PCI hole: memory BARs of devices"),
    (0xFEC01000, "ioapic", "I/O APIC"),
    (0xFED00000, None, "likely chipset registers"),
    (0xFED00400, "hpet", "HPET timer"),
    (0xFED1C000, None, "likely chipset registers"),
    (0xFED20000, None, "likely chipset registers (RCBA of q35)"),
    (0xFED40000, None, "likely chipset registers"),
    (0xFED45000, "tpm", "TPM"),
    (0xFEE00000, None, "likely chipset registers"),
    (0xFEE01000, "lapic", "local APIC in xAPIC mode"),
    (0xFEF00000, None, "window of message-signalled interrupts"),
    (0xFEFFC000, None, "likely the PCI hole: memory BARs of devices"),
    (0xFF000000, None, "likely KVM's own pages (identity map, task state)"),
    (0x1_0000_0000, None, "likely firmware flash, below 4 GiB"),
)
_ABOVE: Final = "above 4 GiB: likely RAM, or a 64-bit BAR far above it"


def gpa_name(gpa: int) -> str | None:
    """Return "lapic eoi" for 0xfee000b0; None where no fixed device lies."""
    _, name, _ = _region(gpa)
    offset = gpa % _PAGE
    register: str | None = None
    if name == "lapic":
        register = lapic.register_name(offset)
    elif name == "ioapic":
        register = _IOAPIC_REGISTERS.get(offset)
    elif name == "hpet":
        register = _HPET_REGISTERS.get(offset & ~0x7)
    return f"{name} {register}" if register else name


def gpa_note(gpa: int) -> str:
    """Describe the region; a description that depends on the machine begins with "likely"."""
    return _region(gpa)[2]


def _region(gpa: int) -> tuple[int, str | None, str]:
    return next((region for region in _REGIONS if gpa < region[0]), (0, None, _ABOVE))
