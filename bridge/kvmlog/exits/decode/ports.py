# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices behind the I/O ports of a PC.

Sources: Intel's PCH data sheets, "Fixed I/O Decode Ranges", for what every PC has; QEMU's
documentation and its hw/i386, hw/isa, hw/misc and hw/acpi for 0xf4, 0x402, 0x501, 0x505, 0x510,
0xa00, 0xa18, 0xcd8, 0xae00, 0xaf00 and 0x8900; the addresses that SeaBIOS and OVMF give to ACPI
power management (0x600 on q35, 0xb000 on i440fx); VMware's "backdoor" port. A guest of another
kind of machine may have other devices at the addresses that QEMU's firmware chose.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class PortRange(NamedTuple):
    """A range of ports, `first` to `last`: the device's name, and a description of it."""

    first: int
    last: int
    name: str
    words: str


_UART: Final = "serial port"

# The first range that holds a port names it.
PORTS: Final[tuple[PortRange, ...]] = (
    PortRange(0x00, 0x1F, "dma1", "DMA controller, channels 0 to 3"),
    PortRange(0x20, 0x21, "pic1", "interrupt controller 8259, first"),
    PortRange(0x22, 0x23, "imcr", "interrupt mode configuration (MultiProcessor specification)"),
    PortRange(0x2E, 0x2F, "superio", "configuration of a Super I/O chip"),
    PortRange(0x40, 0x43, "pit", "interval timer 8254"),
    PortRange(0x4E, 0x4F, "superio", "configuration of a Super I/O chip"),
    PortRange(0x60, 0x60, "keyboard", "keyboard controller 8042, data"),
    PortRange(0x61, 0x61, "nmi-status", "NMI status, speaker, gate of timer 2"),
    PortRange(0x62, 0x62, "acpi-ec", "ACPI embedded controller, data"),
    PortRange(0x64, 0x64, "keyboard", "keyboard controller 8042, command and status"),
    PortRange(0x66, 0x66, "acpi-ec", "ACPI embedded controller, command"),
    PortRange(0x70, 0x73, "rtc", "real-time clock and CMOS memory"),
    PortRange(0x80, 0x80, "post", "POST code; Linux writes it as a short delay"),
    PortRange(0x81, 0x8F, "dma-page", "DMA page registers"),
    PortRange(0x92, 0x92, "a20", "A20 gate and fast reset"),
    PortRange(0xA0, 0xA1, "pic2", "interrupt controller 8259, second"),
    PortRange(0xB2, 0xB3, "smi-command", "APM control: raises an SMI"),
    PortRange(0xC0, 0xDF, "dma2", "DMA controller, channels 4 to 7"),
    PortRange(0xE9, 0xE9, "debugcon", "debug console of Bochs and QEMU"),
    PortRange(0xED, 0xED, "io-delay", "another port that Linux writes as a delay"),
    PortRange(0xF0, 0xF1, "fpu", "x87 busy latch"),
    PortRange(0xF4, 0xF7, "debug-exit", "QEMU's isa-debug-exit, where kernels under test have it"),
    PortRange(0x170, 0x177, "ide2", "IDE, second channel"),
    PortRange(0x1CE, 0x1D0, "vbe", "Bochs VBE registers of QEMU's VGA"),
    PortRange(0x1F0, 0x1F7, "ide1", "IDE, first channel"),
    PortRange(0x278, 0x27A, "lpt2", "parallel port"),
    PortRange(0x2E8, 0x2EF, "com4", _UART),
    PortRange(0x2F8, 0x2FF, "com2", _UART),
    PortRange(0x376, 0x376, "ide2", "IDE, second channel, control"),
    PortRange(0x378, 0x37A, "lpt1", "parallel port"),
    PortRange(0x3BC, 0x3BE, "lpt", "parallel port of a monochrome adapter"),
    PortRange(0x3B0, 0x3DF, "vga", "VGA registers"),
    PortRange(0x3E8, 0x3EF, "com3", _UART),
    PortRange(0x3F6, 0x3F6, "ide1", "IDE, first channel, control"),
    PortRange(0x3F0, 0x3F7, "floppy", "floppy disk controller"),
    PortRange(0x3F8, 0x3FF, "com1", _UART),
    PortRange(0x402, 0x402, "debugcon", "QEMU's isa-debugcon, log of SeaBIOS and OVMF"),
    PortRange(0x4D0, 0x4D1, "elcr", "edge or level of the 8259's inputs"),
    PortRange(0x505, 0x505, "pvpanic", "QEMU's pvpanic: the guest reports a panic or a shutdown"),
    PortRange(0x510, 0x511, "fw-cfg", "QEMU's fw_cfg, selector and data"),
    PortRange(0x514, 0x51B, "fw-cfg-dma", "QEMU's fw_cfg, DMA address"),
    PortRange(0x600, 0x603, "acpi-pm1-event", "ACPI PM1 status and enable (q35)"),
    PortRange(0x604, 0x605, "acpi-pm1-control", "ACPI PM1 control: sleep and power off (q35)"),
    PortRange(0x608, 0x60B, "acpi-pm-timer", "ACPI PM timer, a slow clock source (q35)"),
    PortRange(0x620, 0x62F, "acpi-gpe0", "ACPI general-purpose events (q35)"),
    PortRange(0x630, 0x637, "smi-enable", "SMI enable and status (q35)"),
    PortRange(0x660, 0x67F, "tco", "TCO watchdog (q35)"),
    PortRange(0xA00, 0xA17, "memory-hotplug", "QEMU's memory hotplug"),
    PortRange(0xA18, 0xA1B, "nvdimm", "QEMU's NVDIMM hotplug and labels"),
    PortRange(0xAE00, 0xAE17, "pci-hotplug", "QEMU's ACPI PCI hotplug (i440fx)"),
    PortRange(0xAF00, 0xAF1F, "cpu-hotplug", "QEMU's CPU hotplug (i440fx)"),
    PortRange(0xAFE0, 0xAFE3, "acpi-gpe0", "ACPI general-purpose events (i440fx)"),
    PortRange(0xB000, 0xB003, "acpi-pm1-event", "ACPI PM1 status and enable (i440fx)"),
    PortRange(0xB004, 0xB005, "acpi-pm1-control", "ACPI PM1 control (i440fx)"),
    PortRange(0xB008, 0xB00B, "acpi-pm-timer", "ACPI PM timer, a slow clock source (i440fx)"),
    PortRange(0xB100, 0xB13F, "smbus", "SMBus host (i440fx)"),
    PortRange(0xCC0, 0xCD7, "pci-hotplug", "QEMU's ACPI PCI hotplug (q35)"),
    PortRange(0xCD8, 0xCE3, "cpu-hotplug", "QEMU's CPU hotplug (q35)"),
    PortRange(0xCF9, 0xCF9, "reset", "reset control: 6 resets the machine"),
    PortRange(0xCF8, 0xCFB, "pci-config", "PCI configuration, address"),
    PortRange(0xCFC, 0xCFF, "pci-config", "PCI configuration, data"),
    PortRange(0x5658, 0x5659, "vmport", "VMware's backdoor (QEMU's vmport): time, mouse, tools"),
    PortRange(0x8900, 0x8900, "shutdown", "shutdown port of Bochs and QEMU"),
)

# Addresses that a user or a firmware chooses: described as likely.
LIKELY: Final[tuple[PortRange, ...]] = (
    PortRange(0x501, 0x502, "debug-exit", "likely QEMU's isa-debug-exit at its default address"),
    PortRange(0x700, 0x73F, "smbus", "likely the SMBus host of QEMU's q35"),
    PortRange(0xC000, 0xFFFF, "pci-bar", "likely an I/O BAR of a PCI device"),
)


def port_name(port: int) -> str | None:
    """Return "com1" for 0x3f8; None for a port that no known device has."""
    found = _find(PORTS, port) or _find(LIKELY, port)
    return found.name if found else None


def port_note(port: int) -> str | None:
    """Describe the device that answers there; a guess begins with "likely"."""
    found = _find(PORTS, port) or _find(LIKELY, port)
    return found.words if found else None


def _find(ranges: tuple[PortRange, ...], port: int) -> PortRange | None:
    return next((one for one in ranges if one.first <= port <= one.last), None)
