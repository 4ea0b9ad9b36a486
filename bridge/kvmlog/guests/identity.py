# SPDX-License-Identifier: GPL-2.0-or-later
"""The identity of a guest, from its process's program, command line and cgroup. Pure functions.

The program is that of /proc/PID/exe: a launcher may set any argv[0]. Where that file has no known
name, argv[0] may have, and then the options may be QEMU's.

Sources: qemu(1) and system/vl.c (-name and -uuid are merged, the last one counts); libvirt's
qemu_command.c, which gives both; Firecracker's docs (--id, which the jailer passes on);
cloud-hypervisor --help (no name; --platform uuid=); crosvm run --help; kvmtool, builtin-run.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from kvmlog.guests import cgroup
from kvmlog.guests.command_line import (
    loaded_program,
    long_option,
    looks_like_qemu,
    qemu_options,
    qemu_values,
)
from kvmlog.guests.model import CGROUP_CHARACTERS
from kvmlog.guests.sanitize import clean, normal_uuid

# qemu-system-x86_64 of any target, Kata's qemu-lite-system-x86_64, wrappers' .qemu-..., qemu-kvm
# of Red Hat, kvm of Debian, kvm-spice of Ubuntu.
_QEMU: Final = re.compile(rb"\.?(qemu(-[a-z]+)?-system-.+|qemu-kvm.*|qemu|kvm|(qemu|kvm)-spice)")
# ld-linux-x86-64.so.2, ld-2.31.so, ld-musl-aarch64.so.1, ld64.so.1, ld.so.
_LOADER: Final = re.compile(rb"ld[-.0-9a-z_]*\.so(\.\d+)*")
# KubeVirt calls its domains namespace_name: neither holds an underscore.
_KUBEVIRT: Final = re.compile(
    r"([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)_([a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)"
)
# Names of sockets that are not named after their guests; then their folders are.
_COMMON_NAMES: Final = re.compile(
    r"(api|clh|clh-api|ch|ch-api|cloud-hypervisor|firecracker|fc|vmm|vm)"
)
_SHARED_FOLDERS: Final = ("", "run", "tmp", "api", "vm")


@dataclass(frozen=True)
class Identity:
    """The identity of a guest; texts are printable (sanitize.clean)."""

    kind: str  # qemu, firecracker, cloud-hypervisor, crosvm, kvmtool, other
    name: str | None = None
    uuid: str | None = None
    aliases: tuple[str, ...] = ()
    cgroup: str = ""
    container: str | None = None
    pod: str | None = None


@dataclass(frozen=True)
class _NameAndUuid:
    """Name and UUID from a command line."""

    name: bytes | str | None = None
    uuid: bytes | None = None


def identify(command_line: Sequence[bytes], cgroup_text: str, exe: bytes = b"") -> Identity:
    """Identify the guest of a process with this command line and lines of /proc/PID/cgroup.

    exe: the path of its program; empty where it is not known.
    """
    kind, read, words = _monitor(command_line, exe)
    found = read(words)
    name = clean(found.name).strip() if found.name else ""
    uuid = normal_uuid(found.uuid.decode("ascii", "replace")) if found.uuid else None
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


def _qemu(words: Sequence[bytes]) -> _NameAndUuid:
    name = uuid = smbios_uuid = None
    for option, argument in qemu_options(words):
        if option == b"name":
            name = qemu_values(argument, b"guest").get(b"guest", name)
        elif option == b"uuid":
            uuid = argument
        elif option == b"smbios":
            values = qemu_values(argument, b"type")
            if values.get(b"type") == b"1":
                smbios_uuid = values.get(b"uuid", smbios_uuid)
    return _NameAndUuid(name, uuid or smbios_uuid)


def _firecracker(words: Sequence[bytes]) -> _NameAndUuid:
    return _NameAndUuid(
        long_option(words, b"--id") or _name_of_socket(long_option(words, b"--api-sock"))
    )


def _cloud_hypervisor(words: Sequence[bytes]) -> _NameAndUuid:
    platform = long_option(words, b"--platform") or b""
    values = dict(part.partition(b"=")[::2] for part in platform.split(b","))
    return _NameAndUuid(_name_of_socket(long_option(words, b"--api-socket")), values.get(b"uuid"))


def _by_name(words: Sequence[bytes]) -> _NameAndUuid:
    return _NameAndUuid(long_option(words, b"--name"))


def _other(words: Sequence[bytes]) -> _NameAndUuid:
    return _NameAndUuid()


_Reader: TypeAlias = Callable[[Sequence[bytes]], _NameAndUuid]
_MONITORS: Final[tuple[tuple[bytes, str, _Reader], ...]] = (
    (b"firecracker", "firecracker", _firecracker),
    (b"cloud-hypervisor", "cloud-hypervisor", _cloud_hypervisor),
    (b"crosvm", "crosvm", _by_name),
    (b"lkvm", "kvmtool", _by_name),
    (b"kvmtool", "kvmtool", _by_name),
)


def _monitor(command_line: Sequence[bytes], exe: bytes) -> tuple[str, _Reader, Sequence[bytes]]:
    """Return kind, reader of options and arguments of the monitor that a process runs."""
    argv0, words = b"".join(command_line[:1]), command_line[1:]
    if _LOADER.fullmatch(_file_name(exe or argv0)):
        program = loaded_program(words)
        exe, words = b"".join(program[:1]), program[1:]
    for path in (exe, argv0):
        known = _by_file_name(_file_name(path))
        if known is not None:
            return *known, words
    if looks_like_qemu(words):
        return "qemu", _qemu, words
    return "other", _other, words


def _by_file_name(name: bytes) -> tuple[str, _Reader] | None:
    if _QEMU.fullmatch(name):
        return "qemu", _qemu
    for start, kind, read in _MONITORS:
        # Releases carry their version: firecracker-v1.7.0-x86_64.
        if name.startswith(start):
            return kind, read
    return None


def _file_name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _name_of_socket(argument: bytes | None) -> str | None:
    """Take the name from a socket's path: /run/vms/web1.sock, .../web1/api.sock.

    argument: PATH, path=PATH or fd=N.
    """
    if argument is None or argument.startswith(b"fd="):
        return None
    path = clean(argument.removeprefix(b"path="), CGROUP_CHARACTERS)
    folder, _, file = path.rpartition("/")
    stem = file.partition(".")[0]
    if not _COMMON_NAMES.fullmatch(stem.lower()):
        return stem or None
    folder = folder.rpartition("/")[2]
    return None if folder in _SHARED_FOLDERS else folder
