# SPDX-License-Identifier: GPL-2.0-or-later
"""Run one command in a virtual machine with a given kernel, and get back what it did.

QEMU boots the uncompressed kernel with a small initramfs (init.sh) whose root is
this machine's own file system, read-only under an overlay in memory; only the
project's directory is shared for writing. Without hardware virtualisation, and
also with it, the emulated CPU is `-accel tcg -cpu max,+svm`: kvm_amd works in it.

The command's stdout and stderr travel over virtio-serial ports of their own, byte
for byte, and so does its exit status; the serial console carries the kernel alone
and is kept in build/vm/NAME/console.log. A panic, an oops, a lock splat or a
WARNING on it makes the run fail, whatever the command's exit status was.
"""

from __future__ import annotations

import fcntl
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.vm import bytecode, initramfs
from scripts.vm import console as console_reading
from scripts.vm.kernels import PROJECT, Kernel, KernelError, find

RUNS = PROJECT / "build" / "vm"
_UNNAMED = "unnamed-"
_UNNAMED_KEPT = 20
# tsc=reliable: the clock real hosts use (an emulated CPU would be given the slow HPET).
# norandmaps: a program lies where it lay the last time, so that QEMU need not translate it again:
# 100 blocks of code for a start of `kvmlog` in place of 11,000.
_COMMAND_LINE = (
    "console=ttyS0 loglevel=5 panic=-1 tsc=reliable no_timer_check cryptomgr.notests norandmaps"
)
_CONTROL_EXIT = re.compile(rb"^exit (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class VmResult:
    """Result of one run."""

    exit_code: int | None  # of the command; None when the VM ended before it did
    stdout_bytes: bytes
    stderr_bytes: bytes
    console: Path  # everything the kernel said
    problems: tuple[str, ...]  # lines of the console that no healthy kernel prints
    boot_s: float  # wall time until the command started
    total_s: float

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode(errors="replace")


class VmError(Exception):
    """The VM, not the command, failed; the text shows the console's end."""

    def __init__(self, sentence: str, result: VmResult) -> None:
        shown = console_reading.tail(_read(result.console))
        super().__init__(f"{sentence}\n--- {result.console} ends ---\n{shown}\n---")
        self.result = result


class VmTimeoutError(VmError):
    """The VM did not end in time and was killed."""


class VmKernelError(VmError):
    """The kernel panicked, oopsed, warned, or ended without the command's exit status."""


@dataclass(frozen=True)
class VmOptions:
    """Configuration of the machine."""

    cpus: int = 2
    memory: str = "2G"
    parallel: bool = False  # emulate CPUs in parallel; see run_vm
    icount: bool = False  # one CPU; while it is busy, 1 instruction = 1 ns of its time
    load: tuple[str, ...] = ("kvm_amd",)  # modules loaded before the command
    append: str = ""  # more kernel command line


def run_vm(
    kernel: str | Kernel,
    command: str,
    *,
    cpus: int = 2,
    memory: str = "2G",
    icount: bool = False,
    parallel: bool = False,
    timeout_s: float = 300.0,
    load: Sequence[str] = ("kvm_amd",),
    append: str = "",
    cwd: Path | None = None,
    name: str | None = None,
    echo: bool = False,
    tolerate: str | None = None,
) -> VmResult:
    """Boot `kernel` (a series, a version, or a Kernel), run `command` with bash, power off.

    timeout_s bounds the whole run; past it the VM is killed. `echo` copies the
    command's output to ours as it comes. `tolerate` is a regular expression for
    console lines that are no problem in this run. `name` names the directory below
    build/vm; a run replaces the last one of its name, and waits for one under way.

    The CPUs take turns on one host thread. `parallel` gives each a thread of its own,
    but QEMU 7.2 then runs stale code after the kernel has patched itself, as it does
    whenever a tracepoint is switched: a guest hangs or the kernel dies with "Oops: int3"
    (one in a few runs), for which kvmlog is not to blame.

    Raises VmTimeoutError, VmKernelError (both with .result), KernelError when there is
    no such kernel.
    """
    if icount and cpus != 1:
        raise ValueError(f"icount counts one CPU's instructions: cpus must be 1, is {cpus}")
    if icount and parallel:
        raise ValueError("icount and parallel exclude each other")
    options = VmOptions(cpus, memory, parallel, icount, tuple(load), append)
    chosen = find(kernel) if isinstance(kernel, str) else kernel
    with run_directory(chosen, name) as directory:
        machine = Machine(chosen, options, directory, echo)
        result, timed_out = machine.run(command, cwd or PROJECT, timeout_s, tolerate)
    return checked(chosen, result, timed_out)


@contextmanager
def run_directory(kernel: Kernel, name: str | None = None) -> Iterator[Path]:
    """A new directory below build/vm for one run, which stays; see run_vm for its name."""
    directory = RUNS / (name or f"{_UNNAMED}{kernel.version}-{os.getpid()}-{time.monotonic_ns()}")
    with only_one(directory):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        yield directory
    _forget_old_runs()


def checked(kernel: Kernel, result: VmResult, killed: str) -> VmResult:
    """The result when the run was sound; raises as run_vm does.

    `killed` says why the VM was killed, "" when it ended by itself.
    """
    if killed:
        raise VmTimeoutError(f"Killed the VM (kernel {kernel.version}): {killed}", result)
    if result.problems:
        listed = "\n  ".join(result.problems[:20])
        raise VmKernelError(f"The kernel {kernel.version} complains:\n  {listed}", result)
    if result.exit_code is None:
        raise VmKernelError(
            f"The VM (kernel {kernel.version}) ended before the command did", result
        )
    return result


class Machine:
    """One QEMU process and the sockets of its ports; on "control" init.sh tells how it goes."""

    ports: tuple[str, ...] = ("stdout", "stderr", "control")

    def __init__(self, kernel: Kernel, options: VmOptions, directory: Path, echo: bool) -> None:
        self._kernel = kernel
        self._options = options
        self._directory = directory
        self._echo = echo
        self._received = {port: bytearray() for port in self.ports}

    def run(
        self, command: str, cwd: Path, timeout_s: float, tolerate: str | None
    ) -> tuple[VmResult, str]:
        """The result, and why the VM was killed ("" when it ended by itself)."""
        bytecode.compile_project()
        archive = self._directory / "initramfs"
        archive.write_bytes(
            initramfs.build(self._kernel, command, cwd, self._options.load, self.config())
        )
        try:
            return self._run(timeout_s, tolerate)
        finally:
            archive.unlink()

    def config(self) -> dict[str, str]:
        """Variables for init.sh, beside those that every VM gets."""
        return {}

    def _run(self, timeout_s: float, tolerate: str | None) -> tuple[VmResult, str]:
        ours: dict[str, socket.socket] = {}
        theirs: dict[str, socket.socket] = {}
        for port in self.ports:
            ours[port], theirs[port] = socket.socketpair()
        begin = time.monotonic()
        with (self._directory / "qemu.log").open("wb") as log:
            process = subprocess.Popen(
                self._command_line(theirs),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[end.fileno() for end in theirs.values()],
                start_new_session=True,
            )
        for end in theirs.values():
            end.close()
        killed, boot_s = "interrupted", 0.0
        try:
            killed, boot_s = self._follow(ours, begin, timeout_s)
        finally:
            _end(process, grace_s=0 if killed else 10)
            for end in ours.values():
                end.close()
        console = self._directory / "console.log"
        if not console.exists():
            raise KernelError(f"QEMU does not start: {_read(self._directory / 'qemu.log')}")
        exits = _CONTROL_EXIT.findall(bytes(self._received["control"]))
        found = console_reading.problems(_read(console))
        result = VmResult(
            exit_code=int(exits[-1]) if exits else None,
            stdout_bytes=bytes(self._received.get("stdout", b"")),
            stderr_bytes=bytes(self._received.get("stderr", b"")),
            console=console,
            problems=tuple(
                line for line in found if tolerate is None or not re.search(tolerate, line)
            ),
            boot_s=boot_s,
            total_s=time.monotonic() - begin,
        )
        return result, killed

    def _follow(
        self, ours: dict[str, socket.socket], begin: float, timeout_s: float
    ) -> tuple[str, float]:
        """Collect from the ports until the VM ends or its time is up."""
        boot_s = 0.0
        with selectors.DefaultSelector() as selector:
            for port, end in ours.items():
                selector.register(end, selectors.EVENT_READ, port)
            while selector.get_map():
                limit_s = timeout_s if boot_s else min(timeout_s, self._kernel.boot_timeout_s)
                left_s = begin + limit_s - time.monotonic()
                if left_s <= 0:
                    what = "its command did not end" if boot_s else "it did not boot"
                    return f"{what} within {limit_s:g} s", boot_s
                for key, _ in selector.select(min(left_s, 3600.0)):
                    data = ours[key.data].recv(1 << 16)
                    if not data:
                        selector.unregister(key.fileobj)
                    self._take(key.data, data)
                if not boot_s and self._received["control"]:
                    boot_s = time.monotonic() - begin
        return "", boot_s

    def _take(self, port: str, data: bytes) -> None:
        self._received[port] += data
        if self._echo and port != "control":
            stream = sys.stdout if port == "stdout" else sys.stderr
            stream.buffer.write(data)
            stream.buffer.flush()

    def _command_line(self, ends: dict[str, socket.socket]) -> list[str]:
        options = self._options
        accel = ["-accel", f"tcg,thread={'multi' if options.parallel else 'single'}"]
        if options.icount:
            # sleep=off would jump to the next timer whenever the CPU idles: for each file read.
            accel += ["-icount", "shift=0,sleep=on"]
        append = f"{_COMMAND_LINE} {options.append}".strip()
        ports = [
            argument
            for port, end in ends.items()
            for argument in (
                *("-chardev", f"socket,id={port},fd={end.fileno()}"),
                *("-device", f"virtserialport,chardev={port},name={port}"),
            )
        ]
        return [
            # When we are killed, the VM goes with us.
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("qemu-system-x86_64", "-machine", "q35", *accel, "-cpu", "max,+svm"),
            *("-smp", str(options.cpus), "-m", options.memory),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-kernel", str(self._kernel.image)),
            *("-initrd", str(self._directory / "initramfs"), "-append", append),
            *("-serial", f"file:{self._directory / 'console.log'}"),
            *_share("root", Path("/"), readonly=True),
            *_share("project", PROJECT, readonly=False),
            *("-device", "virtio-serial-pci", *ports),
        ]


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Keeps two runs of one name apart."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = directory.with_name(f".{directory.name}.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
        if directory.name.startswith(_UNNAMED):
            lock.unlink()


def _forget_old_runs() -> None:
    """Remove all but the newest few of the runs without a name."""
    runs = sorted(RUNS.glob(f"{_UNNAMED}*"), key=lambda path: path.stat().st_mtime)
    for path in runs[:-_UNNAMED_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Wait for QEMU's own end that long, then kill it (it leads a process group of its own)."""
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _share(tag: str, path: Path, *, readonly: bool) -> list[str]:
    quoted = str(path).replace(",", ",,")
    access = ",readonly=on" if readonly else ""
    return [
        "-fsdev",
        f"local,id={tag},path={quoted},security_model=none,multidevs=remap{access}",
        "-device",
        f"virtio-9p-pci,fsdev={tag},mount_tag={tag}",
    ]


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
