# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders that look like /proc, for tests of what reads it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path


class FakeProc:
    """A root folder with processes in it, which begin and end as the test wants."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._folder = root

    def begin(
        self,
        pid: int,
        start_ticks: int,
        words: Sequence[bytes] = (),
        *,
        comm: bytes = b"qemu-system-x86",
        cgroup: str = "0::/\n",
        holds_vm: bool = True,
        holds_vcpu: bool = True,
        exe: str | None = None,
    ) -> None:
        """A process, in the place of an earlier one with its pid."""
        folder = self._folder / str(pid)
        if not folder.exists():
            (folder / "fd").mkdir(parents=True)
            (folder / "fd" / "0").symlink_to("/dev/null")
        (folder / "stat").write_bytes(self.stat(pid, start_ticks, comm))
        (folder / "comm").write_bytes(comm + b"\n")
        (folder / "cmdline").write_bytes(b"".join(word + b"\0" for word in words))
        (folder / "cgroup").write_text(cgroup, encoding="utf-8")
        (folder / "status").write_bytes(b"Name:\t" + comm + b"\nTgid:\t%d\nNgid:\t0\n" % pid)
        self.hold(pid, vm=holds_vm, vcpu=holds_vm and holds_vcpu)
        link = folder / "exe"
        link.unlink(missing_ok=True)
        if exe is not None:
            link.symlink_to(exe)

    def hold(self, pid: int, *, vm: bool, vcpu: bool, first: int = 11) -> None:
        """Have the process hold a VM and a vCPU, as descriptors from `first` on, or not."""
        folder = self._folder / str(pid) / "fd"
        for at, held, target in ((0, vm, "kvm-vm"), (1, vcpu, "kvm-vcpu:0")):
            descriptor = folder / str(first + at)
            if held and not descriptor.is_symlink():
                descriptor.symlink_to(f"anon_inode:{target}")
            elif not held:
                descriptor.unlink(missing_ok=True)

    def end(self, pid: int) -> None:
        """The process is gone."""
        shutil.rmtree(self._folder / str(pid), ignore_errors=True)

    def become_zombie(self, pid: int, start_ticks: int) -> None:
        """It has ended, and its parent has not yet asked."""
        (self._folder / str(pid) / "stat").write_bytes(self.stat(pid, start_ticks, b"x", b"Z"))

    @staticmethod
    def stat(pid: int, start_ticks: int, comm: bytes, state: bytes = b"S") -> bytes:
        """Return the content of /proc/PID/stat as proc(5) has it: the start is field 22."""
        return b"%d (%s) %s " % (pid, comm, state) + b"0 " * 18 + b"%d 0 0\n" % start_ticks
