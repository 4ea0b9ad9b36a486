# SPDX-License-Identifier: GPL-2.0-or-later
"""What a cgroup's path tells of a process: its container, its pod, its machine.

Sources: cgroups(7) for /proc/PID/cgroup; Kubernetes, pkg/kubelet/cm (pod cgroups of both
drivers); the scopes of containerd, CRI-O, Docker and Podman; systemd-machined's scopes, which
libvirt's are.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_HEX: Final = "[0-9a-f]"
# kubepods-burstable-podUID.slice with _ for - (systemd), or kubepods/burstable/podUID (cgroupfs).
# Static pods have 32 digits and no dashes.
_POD: Final = re.compile(
    rf"(?:^|[/-])kubepods(?:[/-](?:burstable|besteffort|guaranteed))?[/-]"
    rf"pod({_HEX}{{8}}(?:[-_]{_HEX}{{4}}){{3}}[-_]{_HEX}{{12}}|{_HEX}{{32}})(?=[./:]|$)"
)
# docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, /docker/ID, and
# SLICE:cri-containerd:ID, which is what a wrong driver makes of it.
_CONTAINER: Final = re.compile(rf"(?:^|[/:_-])(?<!conmon-)({_HEX}{{64}})(?=[./]|$)")
# machine-qemu\x2d3\x2dweb1.scope (systemd), machine/qemu-3-web1.libvirt-qemu (without).
_SCOPE: Final = re.compile(r"/machine-([^/]+)\.scope(?=/|$)")
_WITHOUT: Final = re.compile(r"/machine/([^/]+)\.libvirt-qemu(?=/|$)")
_ESCAPE: Final = re.compile(rb"\\x([0-9a-f]{2})")


class Placement(NamedTuple):
    """Where a process runs; each None where the path does not say."""

    container: str | None  # 64 hexadecimal digits
    pod: str | None  # UID; with dashes, but for static pods
    machine: str | None  # systemd-machined's name, of libvirt "qemu-3-web1"


def cgroup_path(text: str) -> str:
    """The path from the lines of /proc/PID/cgroup; "" for the root, or none.

    Version 2's; where that says nothing, as on hosts with both, that of systemd or of cpu.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        number, controllers, path = parts
        path = path.removesuffix(" (deleted)").rstrip("/")
        for controller in controllers.split(","):
            found.setdefault("" if number == "0" else controller, path)
    return found.get("") or found.get("name=systemd") or found.get("cpu") or ""


def placement(path: str) -> Placement:
    """What a path says; of nested containers the innermost."""
    pod = _POD.search(path)
    machine = _SCOPE.search(path) or _WITHOUT.search(path)
    containers = _CONTAINER.findall(path)
    return Placement(
        container=containers[-1] if containers else None,
        pod=pod[1].replace("_", "-") if pod else None,
        machine=_unescaped(machine[1]) if machine else None,
    )


def _unescaped(name: str) -> str:
    """A unit's name as it was before systemd-escape(1) wrote its bytes as \\xNN."""
    raw = _ESCAPE.sub(lambda code: bytes([int(code[1], 16)]), name.encode("utf-8", "replace"))
    return raw.decode("utf-8", "backslashreplace")
