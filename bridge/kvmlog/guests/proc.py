# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes from /proc (proc(5)), and the VMs and vCPUs that they hold."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kvmlog.util.process import start

# The kernel's names of the files behind descriptors of KVM_CREATE_VM and KVM_CREATE_VCPU
# (kvm_main.c); the latter is followed by ":" and the vCPU's id since Linux 4.18. Those of their
# statistics are kvm-vm-stats and kvm-vcpu-stats:N.
VM_LINK: Final = "anon_inode:kvm-vm"
VCPU_LINK: Final = "anon_inode:kvm-vcpu"
# A VMM has its VMs among the first of its descriptors; a process may have a million others.
DESCRIPTORS_MOST: Final = 16_384
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
    exe: bytes = b""  # path of the program that it runs; empty where it may not be read


class Held(NamedTuple):
    """One VM and one vCPU of a process, by descriptor; None where it holds none."""

    vm: int | None
    vcpu: int | None

    @property
    def runs_guest(self) -> bool:
        """Whether the process is a guest: a VM without a vCPU cannot run."""
        return self.vm is not None and self.vcpu is not None


NOTHING: Final = Held(None, None)


def read_process(pid: int, root: str = "/proc") -> Process | None:
    """Read what identifies a guest; None for a process that is gone, a zombie, or not readable."""
    before = start(pid, root)
    if before is None or not before.alive:
        return None
    folder = f"{root}/{pid}"
    exe = ""
    with contextlib.suppress(OSError):
        exe = os.readlink(f"{folder}/exe")
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
        # An upgrade has removed the file.
        exe=os.fsencode(exe).removesuffix(b" (deleted)"),
    )


def thread_group(tid: int, root: str = "/proc") -> int | None:
    """Return the process of a thread; None for one that has ended."""
    try:
        status = _read(f"{root}/{tid}/status", _STATUS_BYTES)
        _, found, rest = status.partition(b"\nTgid:")
        return int(rest.split(b"\n", 1)[0]) if found else None
    except (OSError, ValueError):
        return None


def vm_processes(root: str = "/proc") -> dict[int, Held]:
    """Return all processes that hold a VM, by pid in ascending order, and what they hold."""
    found: dict[int, Held] = {}
    with contextlib.suppress(OSError):
        for pid in sorted(int(name) for name in os.listdir(root) if name.isdecimal()):
            held = held_by(pid, root)
            if held is not None and held.vm is not None:
                found[pid] = held
    return found


def held_by(pid: int, root: str = "/proc", before: Held = NOTHING) -> Held | None:
    """Return a VM and a vCPU that the process holds; None where it is gone, or not ours to look at.

    before: what it held when it was last looked at, which is mostly what it still holds: then only
    these two descriptors are looked at.
    """
    folder = f"{root}/{pid}/fd"
    if before.runs_guest and _held(folder, (str(before.vm), str(before.vcpu))) == before:
        return before
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return None
    return _held(folder, descriptors[:DESCRIPTORS_MOST])


def _held(folder: str, descriptors: Sequence[str]) -> Held | None:
    """Look at descriptors until both are found; None where that was forbidden."""
    vm = vcpu = None
    for descriptor in descriptors:
        try:
            link = os.readlink(f"{folder}/{descriptor}")
        except PermissionError:
            return None
        except OSError:
            # It was closed meanwhile; the next one may be the VM's.
            continue
        if vm is None and link == VM_LINK:
            vm = int(descriptor)
        elif vcpu is None and (link == VCPU_LINK or link.startswith(f"{VCPU_LINK}:")):
            vcpu = int(descriptor)
        if vm is not None and vcpu is not None:
            break
    return Held(vm, vcpu)


def _read(path: str, most: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(most)
