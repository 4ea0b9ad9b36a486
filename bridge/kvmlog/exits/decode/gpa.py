# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices and memory at guest physical addresses of a PC: the one table of them.

Only the VMM knows the layout. Regions that every PC has at the same address are named;
the others are described as likely, from the layouts of QEMU's q35, i440fx and microvm machines
(docs/system and hw/i386 in QEMU: low RAM up to 2 to 3.5 GiB; virtio-mmio of microvm at 0xfeb00000,
its second I/O APIC at 0xfec10000) and where their firmware puts things (ECAM at 0xb0000000 by
SeaBIOS, at 0xe0000000 by OVMF and in microvm). What is likely is named only for an access that the
VMM emulated as a device's: then it was no RAM.
Fixed regions: Intel SDM volume 3 (local APIC 0xfee00000), Intel's PCH data sheets
(I/O APIC 0xfec00000, HPET 0xfed00000), TCG PC Client Platform TPM Profile (0xfed40000),
IBM PC (VGA window at 0xa0000), KVM_SET_IDENTITY_MAP_ADDR and KVM_SET_TSS_ADDR as QEMU
calls them (0xfeffc000). PCI Express base specification, "Enhanced Configuration Access Mechanism":
the 4 KiB of a function are at bus * 1 MiB + device * 32 KiB + function * 4 KiB.
"""

from __future__ import annotations

import bisect
from typing import Final, NamedTuple

from kvmlog.exits.decode import lapic

_PAGE: Final = 0x1000
_VIRTIO_MMIO: Final = 0x200  # of each device (QEMU's microvm)

# IOAPIC data sheet (82093AA): an index register and a window; EOI in later ones.
_IOAPIC_REGISTERS: Final[dict[int, str]] = {0x00: "select", 0x10: "window", 0x40: "eoi"}
# IA-PC HPET specification 1.0a, "Memory Map of Registers".
_HPET_REGISTERS: Final[dict[int, str]] = {
    0x00: "capabilities",
    0x10: "config",
    0x20: "status",
    0xF0: "counter",
}


class Region(NamedTuple):
    """A range of addresses, `first` to `last`, and what is there."""

    first: int
    last: int
    name: str | None
    words: str
    each: int = 0  # bytes of one device in it; 0: all of it is one

    @property
    def is_likely(self) -> bool:
        """Return whether it depends on the machine what is there."""
        return self.words.startswith("likely")

    def device(self, gpa: int) -> tuple[int, int]:
        """Return the first and last address of the device in the region that has this one."""
        if not self.each:
            return self.first, self.last
        first = gpa - (gpa - self.first) % self.each
        return first, min(first + self.each - 1, self.last)


def _layout(
    *parts: tuple[int, str | None, str] | tuple[int, str | None, str, int],
) -> tuple[Region, ...]:
    """Return regions side by side, of which each is given by the first address behind it."""
    found: list[Region] = []
    for end, *rest in parts:
        first = found[-1].last + 1 if found else 0
        found.append(Region(first, end - 1, *rest))
    return tuple(found)


_BAR: Final = ("pci-bar", "likely the PCI hole: memory BARs of devices", _PAGE)
_CHIPSET: Final = (None, "likely chipset registers", _PAGE)

REGIONS: Final[tuple[Region, ...]] = _layout(
    (0xA0000, None, "low RAM, below 640 KiB", _PAGE),
    (0xC0000, "vga", "legacy VGA memory"),
    (0xE0000, None, "option ROMs"),
    (0x100000, None, "BIOS area below 1 MiB"),
    (0x80000000, None, "likely RAM", _PAGE),
    (0xB0000000, "pci-bar", "likely RAM, or the PCI hole, by machine type and memory size", _PAGE),
    (
        0xC0000000,
        "ecam",
        "likely PCI configuration space (ECAM of QEMU's q35), else RAM or PCI hole",
        _PAGE,
    ),
    (0xE0000000, *_BAR),
    (
        0xF0000000,
        "ecam",
        "likely PCI configuration space (ECAM with OVMF, or of QEMU's microvm), else the PCI hole",
        _PAGE,
    ),
    (0xFEB00000, *_BAR),
    (
        0xFEB03000,
        "virtio-mmio",
        "likely a virtio-mmio device (QEMU's microvm), else the PCI hole",
        _VIRTIO_MMIO,
    ),
    (0xFEC00000, *_BAR),
    (0xFEC01000, "ioapic", "I/O APIC"),
    (0xFEC10000, *_CHIPSET),
    (0xFEC11000, "ioapic2", "likely the second I/O APIC of QEMU's microvm"),
    (0xFED00000, *_CHIPSET),
    (0xFED00400, "hpet", "HPET timer"),
    (0xFED1C000, *_CHIPSET),
    (0xFED20000, "rcba", "likely chipset registers (RCBA of q35)"),
    (0xFED40000, *_CHIPSET),
    (0xFED45000, "tpm", "TPM"),
    (0xFED80000, *_CHIPSET),
    (0xFED84000, "iommu", "likely the IOMMU (AMD-Vi)"),
    (0xFED90000, *_CHIPSET),
    (0xFED91000, "iommu", "likely the IOMMU (VT-d)"),
    (0xFEE00000, *_CHIPSET),
    (0xFEE01000, "lapic", "local APIC in xAPIC mode"),
    (0xFEF00000, None, "window of message-signalled interrupts"),
    (0xFEFFC000, *_BAR),
    (0xFF000000, None, "likely KVM's own pages (identity map, task state)"),
    (0x1_0000_0000, "flash", "likely firmware flash, below 4 GiB"),
    (1 << 64, None, "above 4 GiB: likely RAM, or a 64-bit BAR far above it", _PAGE),
)
_LASTS: Final = [region.last for region in REGIONS]


def gpa_name(gpa: int, is_device: bool = False) -> str | None:
    """Return "lapic eoi" for 0xfee000b0; None where no fixed device lies.

    is_device: the VMM emulated the access, so that it was no RAM: "ecam 00:1f.2" for 0xb00fa000.
    """
    region = _region(gpa)
    name = region.name
    if name is None or (region.is_likely and not is_device):
        return None
    offset = gpa - region.first
    part: str | None = None
    if name == "lapic":
        part = lapic.register_name(offset)
    elif name == "ioapic":
        part = _IOAPIC_REGISTERS.get(offset)
    elif name == "hpet":
        part = _HPET_REGISTERS.get(offset & ~0x7)
    else:
        return _device_name(region, gpa)
    return f"{name} {part}" if part else name


def device_words(gpa: int) -> str:
    """Return the addresses of the device that has this one, with its name.

    "0xfee00000-0xfee00fff (lapic)", "0xb00fa000-0xb00fafff (ecam 00:1f.2)".
    """
    region = _region(gpa)
    first, last = region.device(gpa)
    name = _device_name(region, gpa)
    return f"{first:#x}-{last:#x}" + (f" ({name})" if name else "")


def gpa_note(gpa: int) -> str:
    """Describe the region; a description that depends on the machine begins with "likely"."""
    return _region(gpa).words


def _device_name(region: Region, gpa: int) -> str | None:
    if region.name == "ecam":
        number = (gpa - region.first) // _PAGE
        return f"ecam {number >> 8:02x}:{number >> 3 & 0x1F:02x}.{number & 7}"
    if region.name == "virtio-mmio":
        return f"virtio-mmio {(gpa - region.first) // _VIRTIO_MMIO}"
    return region.name


def _region(gpa: int) -> Region:
    return REGIONS[bisect.bisect_left(_LASTS, gpa)]
