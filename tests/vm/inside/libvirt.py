# SPDX-License-Identifier: GPL-2.0-or-later
"""A real libvirt in the VM, without systemd, and guests (domains) of it.

Its packages bring neither users nor configuration nor anything that starts it; what it
needs of that is made here, in directories of the VM's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import signal
import subprocess
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.vm.inside import host, payload
from tests.vm.inside.payload import Orders
from tests.vm.inside.processes import Process, ended, until

_SOCKET: Final = Path("/run/libvirt/libvirt-sock")
_STATE: Final = Path("/run/libvirt/qemu")
# It wants this user to be there even when QEMU runs as another.
_USER: Final = "libvirt-qemu"
# Command lines of what libvirtd has started to ask QEMU, and of what has not executed it yet.
_LEFT: Final = r"^libvirtd|/qmp-\w+/qmp\.monitor"
_QEMU_CONF: Final = 'security_driver = "none"\nuser = "root"\ngroup = "root"\n'
_LIBVIRTD_CONF: Final = 'unix_sock_group = "root"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
_DOMAIN: Final = """
<domain type='kvm'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>16</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='rom'>{image}</loader>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def virsh(*arguments: str) -> str:
    """Runs one command of virsh; returns what it printed. It takes about a second."""
    return host.run("virsh", "--connect", "qemu:///system", "--quiet", *arguments)


@contextlib.contextmanager
def libvirtd() -> Iterator[None]:
    """virtlogd and libvirtd, answering, until the end. Domains outlive them: end those before.

    The first domain of a VM takes some seconds longer: libvirt asks QEMU what it can do, and
    remembers.
    """
    assert "KVMLOG_IN_VM" in os.environ, "this changes /etc: only in a test VM"
    if _USER not in (user.pw_name for user in pwd.getpwall()):
        host.run("useradd", "--system", "--user-group", "--no-create-home", _USER)
    settings = Path("/etc/libvirt")
    # The machine below may have a libvirt of its own, with domains and networks.
    for place in (settings, Path("/var/lib/libvirt"), Path("/var/cache/libvirt")):
        if place.is_dir() and not place.is_mount():
            host.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(place))
    (settings / "qemu.conf").write_text(_QEMU_CONF)
    (settings / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
    _SOCKET.unlink(missing_ok=True)
    log = Process(Path("/run/virtlogd.log"), command=["virtlogd"])
    with ended(log):
        daemon = Process(Path("/run/libvirtd.log"), command=["libvirtd"])
        try:
            until(lambda: _SOCKET.exists() or daemon.process.poll() is not None, "libvirtd")
            assert daemon.process.poll() is None, daemon.log()
            left = virsh("list", "--all").strip()
            assert left == "", f"domains of someone else: {left}"
            yield
        finally:
            # It may still be asking QEMU, for longer than it takes to end when told to. The one
            # that it asks outlives it, with a VM: none may stay.
            daemon.end(signal.SIGKILL)
            until(
                lambda: subprocess.run(["pkill", "-KILL", "-f", _LEFT]).returncode == 1, "none left"
            )


class Domain:
    """A running domain of libvirt."""

    def __init__(self, name: str, uuid: str) -> None:
        self.name, self.uuid = name, uuid
        self.pid = int((_STATE / f"{name}.pid").read_text())
        vcpus = self.qmp("query-cpus-fast")
        self.vcpu_tids: tuple[int, ...] = tuple(int(vcpu["thread-id"]) for vcpu in vcpus)

    def state(self) -> str:
        """Return the state as `virsh domstate` names it: running, paused, ..."""
        return virsh("domstate", self.name).strip()

    def suspend(self) -> None:
        """Suspend the guest; it stands still when this returns."""
        virsh("suspend", self.name)

    def resume(self) -> None:
        """Lets it run on."""
        virsh("resume", self.name)

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Passes a command through to QEMU; what it returns."""
        request = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(virsh("qemu-monitor-command", self.name, request))["return"]

    def memory(self, address: int, size: int) -> bytes:
        """The guest's physical memory."""
        file = Path(f"/run/{self.name}.memory")
        self.qmp("pmemsave", val=address, size=size, filename=str(file))
        return file.read_bytes()

    def done(self, vcpu: int = 0) -> dict[str, int]:
        """Return the work that a vCPU reports; see payload.done()."""
        return payload.done(self.memory, vcpu)


@contextlib.contextmanager
def domain(
    name: str,
    orders: Orders | None = None,
    *,
    uuid: str | None = None,
    vcpus: int = 1,
    paused: bool = False,
) -> Iterator[Domain]:
    """A transient domain until the end, where it is destroyed; libvirtd() has to run.

    name: letters, digits, '-' and '_'. orders: what its vCPUs do; Orders() for ever when None.
    paused: its vCPUs wait for resume(); their threads are there, and made no exit yet.
    """
    assert re.fullmatch(r"[\w-]+", name), name
    uuid = uuid or str(uuids.uuid4())
    image = (orders or Orders()).write_image(Path(f"/run/{name}.rom"))
    description = Path(f"/run/{name}.xml")
    description.write_text(_DOMAIN.format(name=name, uuid=uuid, vcpus=vcpus, image=image))
    virsh("create", str(description), *(["--paused"] if paused else []))
    try:
        yield Domain(name, uuid)
    finally:
        virsh("destroy", name)
        for left in Path("/run").glob(f"{name}.*"):
            left.unlink()
