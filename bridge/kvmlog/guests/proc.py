# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes from /proc (proc(5)), and those among them that hold a VM."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Final

from kvmlog.util.process import start

# The kernel's name of the file behind a descriptor of KVM_CREATE_VM (kvm_main.c).
VM_LINK: Final = "anon_inode:kvm-vm"
# The kernel's limit of one argument (MAX_ARG_STRLEN).
COMMAND_LINE_BYTES: Final = 128 << 10
_CGROUP_BYTES: Final = 64 << 10
_STATUS_BYTES: Final = 4 << 10


@dataclass(frozen=True)
class Process:
    """A process at one moment."""

    pid: int
    start_ticks: int  # clock ticks since boot
    comm: bytes
    command_line: tuple[bytes, ...]  # empty for kernel threads
    cgroup: str  # the lines of /proc/PID/cgroup


def read_process(pid: int, root: str = "/proc") -> Process | None:
    """Read what identifies a guest; None for a process that is gone, a zombie, or not readable."""
    before = start(pid, root)
    if before is None or not before.alive:
        return None
    folder = f"{root}/{pid}"
    try:
        command_line = _read(f"{folder}/cmdline", COMMAND_LINE_BYTES + 1)
        comm = _read(f"{folder}/comm", 64).removesuffix(b"\n")
        cgroup = _read(f"{folder}/cgroup", _CGROUP_BYTES)
    except OSError:
        return None
    # The pid may have been reused between two reads: then the start differs.
    if start(pid, root) != before:
        return None
    words = command_line.split(b"\0")
    if len(command_line) > COMMAND_LINE_BYTES:
        # The last word may be cut in the middle.
        words.pop()
    elif not words[-1]:
        words.pop()
    return Process(
        pid=pid,
        start_ticks=before.ticks,
        comm=comm,
        command_line=tuple(words),
        cgroup=cgroup.decode("utf-8", "backslashreplace"),
    )


def thread_group(tid: int, root: str = "/proc") -> int | None:
    """Return the process of a thread; None for one that has ended."""
    try:
        status = _read(f"{root}/{tid}/status", _STATUS_BYTES)
        _, found, rest = status.partition(b"\nTgid:")
        return int(rest.split(b"\n", 1)[0]) if found else None
    except (OSError, ValueError):
        return None


def vm_processes(root: str = "/proc") -> list[int]:
    """Return the pids of all processes that hold a VM's descriptor, in ascending order."""
    with contextlib.suppress(OSError):
        pids = sorted(int(name) for name in os.listdir(root) if name.isdecimal())
        return [pid for pid in pids if _holds_vm(f"{root}/{pid}/fd")]
    return []


def _holds_vm(folder: str) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(folder):
            # A descriptor may be closed meanwhile; the next one may be the VM's.
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{descriptor}") == VM_LINK:
                    return True
    return False


def _read(path: str, most: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(most)
