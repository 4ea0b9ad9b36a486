# SPDX-License-Identifier: GPL-2.0-or-later
"""A test VM that can sleep: a kernel, one initramfs, two serial ports, no virtio device.

The VM of scripts.vm.runner has its root on virtio-9p, which does not survive suspend. Here
everything stands in memory. What init.sh and the scenario it runs print comes over the
second serial port, so there is no more of it than text.

The kernel boots from its bzImage: entered directly, as the runner does it (PVH), it does
not find its way back from S3 (triple fault while it turns on paging).
"""

from __future__ import annotations

import json
import re
import selectors
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.vm import console as console_reading
from scripts.vm import initramfs
from scripts.vm.kernels import PROJECT, Kernel, KernelError, find
from scripts.vm.runner import RUNS, VmResult, checked, only_one

_HERE = Path(__file__).parent
_PROGRAMS = (
    PROJECT / "build" / "diskless" / "kvmlog-receiver",
    PROJECT / "build" / "guest" / "kvmlog-guest",
)
_DIRECTORIES = ("bin", "dev", "proc", "sys", "vm")
# no_console_suspend: what goes wrong on the way is shown. The others: see scripts.vm.runner.
_COMMAND_LINE = (
    "console=ttyS0 loglevel=5 panic=-1 tsc=reliable no_timer_check cryptomgr.notests "
    "no_console_suspend"
)
_EXIT = re.compile(r"^exit (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class DisklessResult:
    """Result of one run."""

    vm: VmResult  # stdout: the second port's text; boot_s is 0
    slept_s: tuple[float, ...]  # how long the machine was in S3, each time


def run_diskless(
    kernel: str,
    scenario: Path,
    *,
    config: dict[str, str],
    sleep_s: float,
    name: str,
    timeout_s: float = 90.0,
) -> DisklessResult:
    """Boot the newest kernel of a series, load KVM and kvmlog, run a script of busybox's sh.

    The script finds `config` as variables in /vm/config.sh, and in /bin kvmlog-receiver and
    kvmlog-guest. Whenever the machine sleeps (ACPI S3) it is woken after `sleep_s`. timeout_s
    bounds the whole run. `name` names the directory below build/vm with console.log (the
    kernel's) and output.log (the script's).

    Raises VmTimeoutError, VmKernelError, KernelError as scripts.vm.runner.run_vm does.
    """
    chosen = find(kernel)
    directory = RUNS / name
    with only_one(directory):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        archive = directory / "initramfs"
        archive.write_bytes(_initramfs(chosen, scenario, config))
        begin = time.monotonic()
        try:
            killed, slept_s = _run(chosen, directory, sleep_s, timeout_s)
        finally:
            archive.unlink()
        console, output = directory / "console.log", directory / "output.log"
        if not console.exists():
            raise KernelError(f"QEMU does not start: {(directory / 'qemu.log').read_text()}")
        text = output.read_text(errors="replace")  # its CR LF become LF
        exits = _EXIT.findall(text)
        result = VmResult(
            exit_code=int(exits[-1]) if exits else None,
            stdout_bytes=text.encode(),
            stderr_bytes=b"",
            console=console,
            problems=console_reading.problems(console.read_text(errors="replace")),
            boot_s=0.0,
            total_s=time.monotonic() - begin,
        )
    return DisklessResult(checked(chosen, result, killed), slept_s)


def _initramfs(kernel: Kernel, scenario: Path, config: dict[str, str]) -> bytes:
    module = PROJECT / "build" / "kmod" / kernel.version / "kvmlog.ko"
    for path in (*_PROGRAMS, module):
        if not path.exists():
            raise KernelError(f"{path} is missing: run `make setup`")
    modules = [*initramfs.modules_of(kernel, ["kvm_amd"]), (module.name, module.read_bytes())]
    archive = initramfs.Archive(_DIRECTORIES)
    archive.add_program("init", _HERE / "init.sh")
    archive.add_program("vm/scenario.sh", scenario)
    for program in _PROGRAMS:
        archive.add_program(f"bin/{program.name}", program)
    archive.add_config(
        "vm/config.sh", {"VM_MODULES": " ".join(name for name, _ in modules), **config}
    )
    for name, content in modules:
        archive.add_file(f"vm/{name}", content)
    return archive.finish()


def _run(
    kernel: Kernel, directory: Path, sleep_s: float, timeout_s: float
) -> tuple[str, tuple[float, ...]]:
    """Why the VM was killed ("" when it ended by itself), and how long it slept each time."""
    ours, theirs = socket.socketpair()
    with ours, (directory / "qemu.log").open("wb") as log:
        with theirs:
            process = subprocess.Popen(
                _command_line(kernel, directory, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        monitor = _Monitor(ours, sleep_s)
        try:
            ended = monitor.follow(time.monotonic() + timeout_s)
            if ended:
                process.wait(10)
        finally:
            process.kill()  # nothing to kill when it has ended
            process.wait()
    return "" if ended else f"it did not end within {timeout_s:g} s", tuple(monitor.slept_s)


def _command_line(kernel: Kernel, directory: Path, monitor: int) -> list[str]:
    return [
        # When we are killed, the VM goes with us.
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=single"),
        *("-cpu", "max,+svm", "-smp", "2", "-m", "512M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", str(kernel.vmlinuz), "-initrd", str(directory / "initramfs")),
        *("-append", _COMMAND_LINE),
        *("-serial", f"file:{directory / 'console.log'}"),
        *("-serial", f"file:{directory / 'output.log'}"),
        *("-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "monitor,mode=control"),
    ]


class _Monitor:
    """QEMU's control connection (QMP): it says when the machine sleeps, and wakes it.

    Woken from outside because the RTC's alarm is lost when it comes before the machine sleeps.
    """

    def __init__(self, connection: socket.socket, sleep_s: float) -> None:
        self._connection = connection
        self._sleep_s = sleep_s
        self._asleep_since: float | None = None
        self._received = b""
        self.slept_s: list[float] = []

    def follow(self, deadline: float) -> bool:
        """Follow the VM to its end.

        Return false when the deadline (of time.monotonic) comes first.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            while (now := time.monotonic()) < deadline:
                until = deadline
                if self._asleep_since is not None:
                    until = min(until, self._asleep_since + self._sleep_s)
                if selector.select(max(0.0, until - now)):
                    data = self._connection.recv(1 << 16)
                    if not data:
                        return True
                    self._take(data)
                elif self._asleep_since is not None:
                    self._wake(self._asleep_since)
        return False

    def _take(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "QMP" in message:
                self._send("qmp_capabilities")
            elif message.get("event") == "SUSPEND":
                self._asleep_since = time.monotonic()
            elif "error" in message:
                raise KernelError(f"QEMU's monitor: {message['error']}")

    def _wake(self, since: float) -> None:
        self._asleep_since = None
        self.slept_s.append(time.monotonic() - since)
        self._send("system_wakeup")

    def _send(self, command: str) -> None:
        self._connection.sendall(json.dumps({"execute": command}).encode() + b"\n")
