# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest to look at: QEMU with KVM.

It runs a firmware of kvmlog's own, which only leaves the guest, at a pace that can be read; or a
Linux kernel. It needs no disk, no network and no root: only the right to /dev/kvm. It ends with
the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvmlog.cli.demo.image import Orders
from kvmlog.util import users
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import KvmlogError

NAME: Final = "kvmlog-demo"
UUID: Final = "6b766d6c-6f67-4d65-8d6f-000000000001"
# Once each and a halt of half a second, again and again: about 20 exits a second.
ORDERS: Final = Orders("cpuid,pio,mmio,hlt,rdmsr", halt_us=500_000)

_KVM: Final = "/dev/kvm"
_QEMU: Final = "qemu-system-x86_64"
_END_S: Final = 10.0
_MIB: Final = 16
_SAID: Final = 300  # characters of what QEMU said


# Quiet enough that the boot takes seconds: each character on the console is an exit.
_LINUX_OPTIONS: Final = "console=ttyS0 loglevel=4 panic=-1 tsc=reliable no_timer_check"
_LINUX_MIB: Final = 192
_CONSOLE_TAIL: Final = 4_096


@dataclass(frozen=True)
class Linux:
    """A guest's kernel, and the initramfs with all that it runs."""

    kernel: Path
    initrd: Path | None = None


class DemoError(KvmlogError):
    """The demo cannot be shown here, or did not show what it should."""


def check_host() -> str:
    """QEMU's path; DemoError for what this host or this user lacks to run a guest."""
    try:
        os.close(os.open(_KVM, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        raise DemoError(
            f"there is no {_KVM}: this machine has no KVM, or no nested virtualisation; load "
            "kvm_amd or kvm_intel, and give a virtual machine a CPU with svm or vmx"
        ) from None
    except PermissionError:
        user = users.user_name(os.geteuid())
        raise DemoError(
            f"{_KVM}: {user} may not use it; become a member of the group kvm (sudo usermod -aG "
            f"kvm {user}), and log in again"
        ) from None
    except OSError as error:
        raise DemoError(
            f"{_KVM}: cannot be used ({error.strerror}); load kvm_amd or kvm_intel"
        ) from None
    qemu = shutil.which(_QEMU)
    if qemu is None:
        raise DemoError(f"{_QEMU} is not installed; apt-get install qemu-system-x86")
    return qemu


class DemoGuest(Closeable):
    """The guest, from its start to close(); DemoError where it cannot be started.

    linux: what it boots; else it follows the orders.
    """

    def __init__(self, orders: Orders = ORDERS, linux: Linux | None = None) -> None:
        qemu = check_host()
        # Nothing is left of these files, nor of what QEMU says, when this process is killed.
        image = os.memfd_create("payload.rom", os.MFD_CLOEXEC)
        self._console = os.memfd_create("console", os.MFD_CLOEXEC)
        self._is_linux = linux is not None
        try:
            if linux is None:
                with open(image, "wb", closefd=False) as file:
                    file.write(orders.image())
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the guest
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    # A boot is hard work: who looks at it goes first.
                    *(() if linux is None else ("nice", "-n", "19")),
                    qemu,
                    *("-name", f"guest={NAME},debug-threads=on", "-uuid", UUID),
                    *("-nodefaults", "-no-user-config", "-display", "none"),
                    # kvm64: any KVM has it, also one that emulates its guests.
                    *("-accel", "kvm", "-cpu", "kvm64"),
                    *(self._machine(image) if linux is None else self._linux(linux)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=[image, self._console],
                # Ctrl-C is for the demo, which ends its guest in its turn.
                start_new_session=True,
            )
        except OSError as error:
            raise DemoError(
                f"{_QEMU} cannot be started ({error.strerror}); install util-linux and "
                "qemu-system-x86"
            ) from None
        finally:
            os.close(image)

    def _machine(self, image: int) -> list[str]:
        return ["-machine", "q35", "-m", str(_MIB), "-bios", f"/proc/self/fd/{image}"]

    def _linux(self, linux: Linux) -> list[str]:
        initrd = [] if linux.initrd is None else ["-initrd", str(linux.initrd)]
        return [
            *("-machine", "pc", "-m", str(_LINUX_MIB), "-no-reboot"),
            *("-kernel", str(linux.kernel), *initrd, "-append", _LINUX_OPTIONS),
            *("-serial", f"file:/proc/self/fd/{self._console}"),
            # It waits for go().
            *("-S", "-monitor", "stdio"),
        ]

    def go(self) -> None:
        """Have a Linux guest begin to boot: its boot is worth seeing from the first exit on."""
        if not self._is_linux or self._process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # check() tells why
            self._process.stdin.write(b"cont\n")
            self._process.stdin.flush()

    def describe(self) -> str:
        """Return what runs in it, in words."""
        if self._is_linux:
            return "which boots a Linux kernel"
        return "which only leaves its guest"

    def console_line(self) -> str:
        """Return the last line on the guest's console, "" before the first."""
        size = os.fstat(self._console).st_size
        text = os.pread(self._console, _CONSOLE_TAIL, max(0, size - _CONSOLE_TAIL))
        lines = text.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    @property
    def pid(self) -> int:
        """Pid of the QEMU process."""
        return self._process.pid

    def check(self) -> None:
        """DemoError when it has ended by itself, with what QEMU said."""
        status = self._process.poll()
        if status is None:
            return
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").splitlines()
        said = " / ".join(line for line in lines if "warning:" not in line)[:_SAID]
        raise DemoError(
            f"the demo guest ended by itself with status {status} ({said or 'QEMU said nothing'}); "
            f"try {_QEMU} -accel kvm by hand"
        )

    def close(self) -> None:
        """Ends it; SIGKILL where SIGTERM is not heard in 10 s."""
        self._process.terminate()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
        if self._console >= 0:
            os.close(self._console)
            self._console = -1
