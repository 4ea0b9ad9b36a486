# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain of libvirt (TCG) whose guest halts at once: where what it does is of no concern."""

from __future__ import annotations

import contextlib
import uuid as uuids
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.libvirt_host import LibvirtHost

_DOMAIN: Final = """
<domain type='qemu'>
  <name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='rom'>{image}</loader>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
_ROM_BYTES: Final = 64 << 10
_DISK_BYTES: Final = 1 << 20
# sti; hlt; jmp back to hlt, at the reset vector.
_HALT: Final = bytes((0xFB, 0xF4, 0xEB, 0xFD))


@dataclass(frozen=True)
class Halted:
    """A running domain."""

    host: LibvirtHost
    name: str
    uuid: str
    xml: Path

    @property
    def pid(self) -> int:
        """Return the pid of its QEMU."""
        return self.host.domain_pid(self.name)


@contextlib.contextmanager
def halted_domain(host: LibvirtHost, name: str, uuid: str | None = None) -> Iterator[Halted]:
    """A transient domain, until the end."""
    folder = host.folder / "halted"
    folder.mkdir(exist_ok=True)
    rom, disk, xml = (folder / f"{name}.{kind}" for kind in ("rom", "img", "xml"))
    rom.write_bytes(bytes(_ROM_BYTES - 16) + _HALT + bytes(16 - len(_HALT)))
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES)
    uuid = uuid or str(uuids.uuid4())
    xml.write_text(_DOMAIN.format(name=name, uuid=uuid, image=rom, disk=disk))
    host.virsh("create", str(xml))
    try:
        yield Halted(host, name, uuid, xml)
    finally:
        host.virsh("destroy", name, check=False)
