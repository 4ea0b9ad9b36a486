# SPDX-License-Identifier: GPL-2.0-or-later
"""Who a guest is, from what its process was started with. Pure functions: /proc is read elsewhere.

Sources: qemu(1) and system/vl.c (-name and -uuid are merged, the last one counts); libvirt's
qemu_command.c, which gives both; Firecracker's docs (--id, which the jailer passes on);
cloud-hypervisor --help (no name; --platform uuid=); crosvm run --help; kvmtool, builtin-run.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.guests import cgroup
from kvmlog.guests.command_line import long_option, qemu_options, qemu_values
from kvmlog.guests.model import CGROUP_CHARACTERS
from kvmlog.guests.sanitize import clean, normal_uuid

# qemu-system-x86_64 of any target, Kata's qemu-lite-system-x86_64, wrappers' .qemu-..., qemu-kvm
# of Red Hat, kvm of Debian.
_QEMU: Final = re.compile(rb"\.?(qemu(-[a-z]+)?-system-.+|qemu-kvm.*|qemu|kvm)")
# KubeVirt calls its domains namespace_name: neither holds an underscore.
_KUBEVIRT: Final = re.compile(
    r"([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)_([a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)"
)
# What a socket is called that is not called after its guest; then its folder is.
_COMMON: Final = re.compile(r"(api|clh|clh-api|ch|ch-api|cloud-hypervisor|firecracker|fc|vmm|vm)")
_SHARED_FOLDERS: Final = ("", "run", "tmp", "api", "vm")


@dataclass(frozen=True)
class Identity:
    """What is known of a guest; texts are fit to be shown (words.clean)."""

    kind: str  # qemu, firecracker, cloud-hypervisor, crosvm, kvmtool, other
    name: str | None = None
    uuid: str | None = None
    aliases: tuple[str, ...] = ()
    cgroup: str = ""
    container: str | None = None
    pod: str | None = None


@dataclass(frozen=True)
class _Called:
    """Name and UUID of a command line."""

    name: bytes | str | None = None
    uuid: bytes | None = None


def identify(command_line: Sequence[bytes], cgroup_text: str) -> Identity:
    """Who the process with this command line and these lines of /proc/PID/cgroup runs."""
    kind, read = _monitor(command_line)
    called = read(command_line[1:])
    name = clean(called.name).strip() if called.name else ""
    uuid = normal_uuid(called.uuid.decode("ascii", "replace")) if called.uuid else None
    path = cgroup.cgroup_path(cgroup_text)
    place = cgroup.placement(path)
    aliases = [clean(place.machine)] if place.machine else []
    kubevirt = _KUBEVIRT.fullmatch(name) if kind == "qemu" and place.pod else None
    if kubevirt:
        aliases += [name, kubevirt[2]]
        name = f"{kubevirt[1]}/{kubevirt[2]}"
    return Identity(
        kind=kind,
        name=name or None,
        uuid=uuid,
        aliases=tuple(alias for alias in aliases if alias != name),
        cgroup=clean(path, CGROUP_CHARACTERS),
        container=place.container,
        pod=place.pod,
    )


def _qemu(words: Sequence[bytes]) -> _Called:
    name = uuid = of_smbios = None
    for option, argument in qemu_options(words):
        if option == b"name":
            name = qemu_values(argument, b"guest").get(b"guest", name)
        elif option == b"uuid":
            uuid = argument
        elif option == b"smbios":
            values = qemu_values(argument, b"type")
            if values.get(b"type") == b"1":
                of_smbios = values.get(b"uuid", of_smbios)
    return _Called(name, uuid or of_smbios)


def _firecracker(words: Sequence[bytes]) -> _Called:
    return _Called(long_option(words, b"--id") or _of_socket(long_option(words, b"--api-sock")))


def _cloud_hypervisor(words: Sequence[bytes]) -> _Called:
    platform = long_option(words, b"--platform") or b""
    values = dict(part.partition(b"=")[::2] for part in platform.split(b","))
    return _Called(_of_socket(long_option(words, b"--api-socket")), values.get(b"uuid"))


def _by_name(words: Sequence[bytes]) -> _Called:
    return _Called(long_option(words, b"--name"))


def _other(words: Sequence[bytes]) -> _Called:
    return _Called()


_MONITORS: Final[tuple[tuple[bytes, str, Callable[[Sequence[bytes]], _Called]], ...]] = (
    (b"firecracker", "firecracker", _firecracker),
    (b"cloud-hypervisor", "cloud-hypervisor", _cloud_hypervisor),
    (b"crosvm", "crosvm", _by_name),
    (b"lkvm", "kvmtool", _by_name),
    (b"kvmtool", "kvmtool", _by_name),
)


def _monitor(command_line: Sequence[bytes]) -> tuple[str, Callable[[Sequence[bytes]], _Called]]:
    program = command_line[0].rpartition(b"/")[2] if command_line else b""
    if _QEMU.fullmatch(program):
        return "qemu", _qemu
    for start, kind, read in _MONITORS:
        # Releases carry their version: firecracker-v1.7.0-x86_64.
        if program.startswith(start):
            return kind, read
    return "other", _other


def _of_socket(argument: bytes | None) -> str | None:
    """A guest without a name is often told by its socket: /run/vms/web1.sock, .../web1/api.sock.

    argument: PATH, path=PATH or fd=N.
    """
    if argument is None or argument.startswith(b"fd="):
        return None
    path = clean(argument.removeprefix(b"path="), CGROUP_CHARACTERS)
    folder, _, file = path.rpartition("/")
    stem = file.partition(".")[0]
    if not _COMMON.fullmatch(stem.lower()):
        return stem or None
    folder = folder.rpartition("/")[2]
    return None if folder in _SHARED_FOLDERS else folder
