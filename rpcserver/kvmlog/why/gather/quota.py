# SPDX-License-Identifier: GPL-2.0-or-later
"""Time in which a CPU quota held a VM back, from its control groups' cpu.stat.

The kernel's Documentation/admin-guide/cgroup-v2.rst (throttled_usec) and scheduler/sched-bwc.rst
(v1: throttled_time, ns). libvirt puts each vCPU into a group of its own beside the emulator's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from kvmlog.vmstats import host_files

_MOUNT: Final = "sys/fs/cgroup"
_CONTROLLER: Final = "cpu"
_THROTTLED: Final = re.compile(r"^throttled_(usec|time) (\d{1,20})$", re.MULTILINE)
_GROUP_OF_VCPU: Final = re.compile(r"vcpu\d{1,5}")
_DEEPEST: Final = 32


def throttled_ns(pid: int, root: str = "/") -> int | None:
    """Return it for all groups of the process together, since they were made; None: not known."""
    text = host_files.text(os.path.join(root, f"proc/{pid}/cgroup"))
    found = [ns for folder in _folders(text or "", root) for ns in _throttled(folder)]
    return sum(found) if found else None


def _folders(text: str, root: str) -> Iterator[str]:
    """Yield the group, those above it, and those of vCPUs beside it."""
    mount = os.path.join(root, _MOUNT)
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/") or "/.." in path:
            continue
        if controllers and _CONTROLLER not in controllers.split(","):
            continue
        base = os.path.join(mount, controllers) if controllers else mount
        group = path.strip("/")
        for _ in range(_DEEPEST):
            if not group:
                break
            yield os.path.join(base, group)
            group = os.path.dirname(group)
        beside = os.path.join(base, os.path.dirname(path).strip("/"))
        own = os.path.basename(path)
        try:
            names = os.listdir(beside)
        except OSError:
            continue
        for name in names:
            if name != own and _GROUP_OF_VCPU.fullmatch(name):
                yield os.path.join(beside, name)


def _throttled(folder: str) -> Iterator[int]:
    found = _THROTTLED.search(host_files.text(os.path.join(folder, "cpu.stat")) or "")
    if found is not None:
        yield int(found[2]) * (1_000 if found[1] == "usec" else 1)
