# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest of libvirt (TCG): disk, network, balloon, and a shell that does what it is told."""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.vm.initramfs import Archive, modules_of
from scripts.vm.kernels import fetched
from tests.support.libvirt_host import LibvirtHost

MEMORY_MIB: Final = 128
# It boots in emulation, perhaps beside others: reached only when something hangs.
_HANG_S: Final = 300
DISK_BYTES: Final = 32 << 20
_INIT: Final = Path(__file__).with_name("libvirt_guest.sh")
_MODULES: Final = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_balloon", "i6300esb")
_DIRECTORIES: Final = ("bin", "dev", "modules", "proc", "sys")
_DOMAIN: Final = """
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  {metadata}
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet loglevel=0 panic=-1 ipv6.disable=1</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom'><model>qemu64</model></cpu>
  <on_reboot>restart</on_reboot>
  <on_crash>{on_crash}</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <interface type='bridge'>
      <mac address='{mac}'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <serial type='unix'><source mode='bind' path='{serial}'/></serial>
    <memballoon model='virtio'>{balloon}</memballoon>
    <watchdog model='i6300esb' action='reset'/>
    {panic}
  </devices>
</domain>
"""
_numbers = itertools.count(1)


class LibvirtGuest:
    """A persistent domain."""

    def __init__(self, host: LibvirtHost, name: str, uuid: str, mac: str, folder: Path) -> None:
        self.host, self.name, self.uuid, self.mac = host, name, uuid, mac
        self.disk = folder / f"{name}.img"
        self.serial = folder / f"{name}.serial"
        self._line: socket.socket | None = None
        self._asked = 0

    @property
    def pid(self) -> int:
        """The pid of its QEMU."""
        return self.host.domain_pid(self.name)

    def start(self) -> None:
        """Start it again; run() waits until it has booted."""
        self.hang_up()
        self.host.virsh("start", self.name)

    def reset(self) -> None:
        """Reset it, as by its button; run() waits until it has booted."""
        self.hang_up()
        self.host.virsh("reset", self.name)

    def run(self, command: str) -> str:
        """Run a command in the guest, once it has booted; return what it printed."""
        line = self._shell()
        self._asked += 1
        mark = f"<{self.name} {self._asked}>"
        line.sendall(f"{command}; echo '<{self.name}' {self._asked}'>'\n".encode())
        said = ""
        while mark not in said:
            got = line.recv(65_536)
            assert got, f"{self.name} ended: {said}"
            said += got.decode(errors="replace")
        return said.partition(mark)[0].replace("\r\n", "\n")

    def send(self, command: str) -> None:
        """Have the guest do something without waiting for its end."""
        self._shell().sendall(command.encode() + b"\n")

    def hang_up(self) -> None:
        """Close the line to its shell."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def receive(self, packets: int, size: int) -> None:
        """Send the guest so many Ethernet frames of `size` bytes, which it does not answer."""
        script = (
            "import socket,sys\n"
            "s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW);s.bind(('br0',0))\n"
            f"f=bytes.fromhex('{self.mac.replace(':', '')}')+bytes.fromhex('020000000001')"
            f"+b'\\x88\\xb5'+bytes({size}-14)\n"
            f"for _ in range({packets}): s.send(f)\n"
        )
        self.host.inside("/usr/bin/python3", "-c", script)

    def _shell(self) -> socket.socket:
        """Return the line to its shell, which answers."""
        if self._line is None:
            line = socket.socket(socket.AF_UNIX)
            self._line = line
            line.settimeout(_HANG_S)
            line.connect(str(self.serial))
            said = b""
            while b"up" not in said:
                got = line.recv(65_536)
                assert got, f"{self.name} ended: {said!r}"
                said += got
            line.sendall(b"\n")
            self.run("true")
        return self._line


@contextlib.contextmanager
def libvirt_guest(
    host: LibvirtHost,
    name: str,
    *,
    vcpus: int = 1,
    balloon_period_s: int | None = 1,
    metadata: str = "",
    uuid: str | None = None,
    on_crash: str | None = None,
) -> Iterator[LibvirtGuest]:
    """A persistent domain that boots, until the end.

    metadata: an XML element for the domain; balloon_period_s: None: no statistics period; on_crash:
    what libvirt does with it once it has panicked, for which it has a device; None: it has none.
    """
    folder = host.folder / "guests"
    folder.mkdir(exist_ok=True)
    kernel = fetched()[0]
    initrd = folder / "initrd"
    if not initrd.exists():
        initrd.write_bytes(_initramfs())
    number = next(_numbers)
    mac = f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"
    made = LibvirtGuest(host, name, uuid or str(uuids.uuid4()), mac, folder)
    with made.disk.open("wb") as disk:
        disk.truncate(DISK_BYTES)
    stats = f"<stats period='{balloon_period_s}'/>" if balloon_period_s else ""
    description = folder / f"{name}.xml"
    description.write_text(
        _DOMAIN.format(
            name=name,
            uuid=made.uuid,
            metadata=metadata,
            memory=MEMORY_MIB,
            vcpus=vcpus,
            kernel=kernel.vmlinuz,
            initrd=initrd,
            disk=made.disk,
            mac=mac,
            serial=made.serial,
            balloon=stats,
            on_crash=on_crash or "destroy",
            panic="" if on_crash is None else "<panic model='isa'/>",
        )
    )
    host.virsh("define", str(description))
    try:
        host.virsh("start", name)
        yield made
    finally:
        made.hang_up()
        host.virsh("destroy", name, check=False)
        host.virsh("undefine", name, check=False)


@functools.cache
def _initramfs() -> bytes:
    kernel = fetched()[0]
    modules = modules_of(kernel, _MODULES)
    archive = Archive(_DIRECTORIES)
    archive.add_program("init", _INIT)
    archive.add_file("modules/order", "".join(f"{name}\n" for name, _ in modules).encode())
    for name, content in modules:
        archive.add_file(f"modules/{name}", content)
    return archive.finish()
