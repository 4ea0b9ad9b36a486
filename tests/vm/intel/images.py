# SPDX-License-Identifier: GPL-2.0-or-later
"""What Bochs reads into the machine's RAM, so that nothing is loaded, or unpacked, inside.

The kernel's segments where they belong, the initramfs, and between them the start info by which
a kernel is entered uncompressed (PVH; xen/include/public/arch-x86/hvm/start_info.h); and a floppy
whose boot sector (boot.S) does that.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.vm.kernels import PROJECT, Kernel, KernelError

BOOT_SECTOR: Final = PROJECT / "build" / "intel" / "boot.bin"
_FLOPPY_BYTES: Final = 1_474_560
_MAGIC: Final = 0x336EC578
_NOTE, _LOAD = 4, 1  # types of program headers
_ENTRY_NOTE: Final = (b"Xen\0", 18)  # XEN_ELFNOTE_PHYS32_ENTRY
_RAM, _RESERVED, _ACPI = 1, 2, 3
_ACPI_BYTES: Final = 0x10000  # the BIOS's tables, at the end of memory
_LAYOUT: Final = {
    name: int(value, 16)
    for name, value in re.findall(
        r"^#define (\w+) (0x\w+)",
        Path(__file__).with_name("layout.h").read_text(encoding="ascii"),
        re.MULTILINE,
    )
}
ENTRY_POINT: Final = _LAYOUT["ENTRY_POINT"]
START_INFO: Final = _LAYOUT["START_INFO"]
INITRAMFS: Final = _LAYOUT["INITRAMFS"]


@dataclass(frozen=True)
class Image:
    """A file that is to stand in RAM."""

    path: Path
    address: int


@dataclass(frozen=True)
class _Segment:
    address: int
    bytes_in_memory: int
    content: bytes


def write(
    directory: Path, kernel: Kernel, command_line: str, initramfs: bytes, memory_bytes: int
) -> tuple[list[Image], Path]:
    """Write the images of one boot into a directory; return them, and the floppy.

    Raises KernelError when the kernel cannot be entered so, or memory is too small.
    """
    segments, entry = _read_elf(kernel.vmlinux)
    end = max(segment.address + segment.bytes_in_memory for segment in segments)
    if end > ENTRY_POINT or INITRAMFS + len(initramfs) + _ACPI_BYTES > memory_bytes:
        raise KernelError(
            f"{kernel.version}: the kernel ends at {end:#x}, its initramfs has {len(initramfs)} "
            f"bytes: too much for {memory_bytes >> 20} MiB; see tests/vm/intel/layout.h"
        )
    first = min(segment.address for segment in segments)
    flat = bytearray(end - first)
    for segment in segments:
        at = segment.address - first
        flat[at : at + len(segment.content)] = segment.content
    info = _start_info(command_line, len(initramfs), memory_bytes)
    images = []
    for name, address, content in (
        ("kernel", first, bytes(flat).rstrip(b"\0")),
        ("info", ENTRY_POINT, struct.pack("<I", entry).ljust(START_INFO - ENTRY_POINT) + info),
        ("initramfs", INITRAMFS, initramfs),
    ):
        images.append(Image(directory / f"{name}.img", address))
        images[-1].path.write_bytes(content)
    floppy = directory / "floppy.img"
    floppy.write_bytes(BOOT_SECTOR.read_bytes().ljust(_FLOPPY_BYTES, b"\0"))
    return images, floppy


def _read_elf(vmlinux: Path) -> tuple[list[_Segment], int]:
    """Return what is to be loaded, and the physical address of the PVH entry."""
    elf = vmlinux.read_bytes()
    (headers_at,) = struct.unpack_from("<Q", elf, 32)
    header_bytes, count = struct.unpack_from("<HH", elf, 54)
    segments, entry = [], None
    for number in range(count):
        kind, _, at, _, address, in_file, in_memory, _ = struct.unpack_from(
            "<IIQQQQQQ", elf, headers_at + number * header_bytes
        )
        if kind == _LOAD:
            segments.append(_Segment(address, in_memory, elf[at : at + in_file]))
        elif kind == _NOTE:
            entry = _find_entry(elf[at : at + in_file])
    if entry is None:
        raise KernelError(f"{vmlinux}: no PVH entry (CONFIG_PVH)")
    return segments, entry


def _find_entry(notes: bytes) -> int | None:
    at = 0
    while at < len(notes):
        name_bytes, value_bytes, kind = struct.unpack_from("<III", notes, at)
        name_at = at + 12
        value_at = name_at + (name_bytes + 3 & ~3)
        if (notes[name_at : name_at + name_bytes], kind) == _ENTRY_NOTE:
            return int.from_bytes(notes[value_at : value_at + value_bytes], "little")
        at = value_at + (value_bytes + 3 & ~3)
    return None


def _start_info(command_line: str, initramfs_bytes: int, memory_bytes: int) -> bytes:
    """Return struct hvm_start_info, with what it refers to behind it."""
    top = memory_bytes - _ACPI_BYTES
    areas = (
        (0, 0x9F000, _RAM),
        (0x9F000, 0x1000, _RESERVED),
        (0xE8000, 0x18000, _RESERVED),
        (0x100000, top - 0x100000, _RAM),
        (top, _ACPI_BYTES, _ACPI),
        (0xFEC00000, 0x1000, _RESERVED),  # IO-APIC
        (0xFEE00000, 0x1000, _RESERVED),  # local APIC
        (0xFFFC0000, 0x40000, _RESERVED),  # BIOS
    )
    module = struct.pack("<QQQQ", INITRAMFS, initramfs_bytes, 0, 0)
    memory_map = b"".join(struct.pack("<QQII", *area, 0) for area in areas)
    modules_at = START_INFO + 56
    map_at = modules_at + len(module)
    command_line_at = map_at + len(memory_map)
    head = struct.pack(
        "<IIIIQQQQII",
        *(_MAGIC, 1, 0, 1, modules_at, command_line_at, 0, map_at, len(areas), 0),
    )
    return head + module + memory_map + command_line.encode("ascii") + b"\0"
