# SPDX-License-Identifier: GPL-2.0-or-later
"""Watch the VM's kernel while something is done in it: an oops comes to this terminal.

    python3 -m vagrant.watch follow                 the console, its last lines first, until Ctrl-C
    python3 -m vagrant.watch run COMMAND [ARG...]   the command; the kernel's complaints on stderr
    python3 -m vagrant.watch beside PID             these alone, until PID, its parent, ends

The exit status of `run` is the command's; 125 when the kernel complained meanwhile, 127 when there
is no such command. After a panic a command that still waits for the VM is ended. The console is the
file into which libvirt writes the VM's serial line. It is root's at first, and again when virtlogd
begins a new one; where sudo asks for no password it is made the user's, else that is said.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from scripts.vm.console import problems

PROJECT = Path(__file__).resolve().parents[1]
NAME = os.environ.get("KVMLOG_VM") or "kvmlog-dev"
CONSOLE = PROJECT / "build" / "vagrant" / f"{NAME}.console"
COMPLAINED = 125
NOT_FOUND = 127
# The Vagrantfile begins no watcher of its own for a command that is watched.
WATCHED = "KVMLOG_WATCHED"
_POLL_S = 0.2
# The serial line is slower than ssh: what the kernel said last may come after the command's end.
_SETTLE_S = 1.0
# So long a command may take to notice by itself that the VM's kernel is dead.
_DEAD_S = 5.0
_SHOWN_LINES = 50
# A complaint that the kernel does not end, as a warning of one line, ends after so many.
_LONGEST_LINES = 120
_PANIC = re.compile(r"Kernel panic")
# A panic says the latter when the VM is to boot again.
_END = re.compile(r"---\[ end |Rebooting in ")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Console:
    """The console file from now on, also when virtlogd begins a new one, which it does at 2 MiB."""

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._partial = b""
        self._told = False
        # What stands there before is passed over, also when the file can be read only later.
        self._old: tuple[int, int] | None = None
        if not from_start:
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                self._old = (stat.st_ino, stat.st_size)
        self._open()

    def _open(self) -> None:
        self._file = None
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return
        except PermissionError:
            if not self._told:
                self._told = True
                self._claim()
            return
        self._told = False
        stat = os.fstat(self._file.fileno())
        if self._old is not None and self._old[0] == stat.st_ino and self._old[1] <= stat.st_size:
            self._file.seek(self._old[1])
        self._old = None

    def _claim(self) -> None:
        """Have it made this user's, or say how that is done; lines() tries again to open it."""
        command = ("chown", str(os.geteuid()), str(self._path))
        # No sudo, or none for this user.
        with contextlib.suppress(OSError):
            quiet = subprocess.DEVNULL
            done = subprocess.run(
                ("sudo", "-n", *command), stdin=quiet, stdout=quiet, stderr=quiet, check=False
            )
            if done.returncode == 0 and os.access(self._path, os.R_OK, effective_ids=True):
                return
        _say(
            f"vm: {self._path} cannot be read, since libvirt writes it as root, so nothing of it "
            f"is shown: sudo {shlex.join(command)}"
        )

    def lines(self) -> list[str]:
        """The complete lines that came since the last call, without colours and line ends."""
        data = b""
        if self._file is not None:
            if os.fstat(self._file.fileno()).st_size < self._file.tell():
                self._file.seek(0)
            data = self._file.read()
        if self._replaced():
            if self._file is not None:
                data += self._file.read()
                self._file.close()
            self._open()
            data += self._file.read() if self._file is not None else b""
        *complete, self._partial = (self._partial + data).split(b"\n")
        return [_COLOURS.sub("", line.decode(errors="replace")).strip("\r") for line in complete]

    def _replaced(self) -> bool:
        try:
            now = self._path.stat().st_ino
        except FileNotFoundError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != now

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


class Complaints:
    """Of a console's lines those from a complaint to its end; the boot log goes on after it."""

    def __init__(self) -> None:
        self.any = False
        self.panic = False
        self._inside = 0  # how many lines more

    def take(self, lines: Sequence[str]) -> list[str]:
        """Which of the next lines are to be shown."""
        shown = []
        for line in lines:
            if problems(line):
                self.any = True
                self._inside = _LONGEST_LINES
                self.panic = self.panic or _PANIC.search(line) is not None
            if self._inside:
                shown.append(line)
                self._inside -= 1
            if _END.search(line):
                self._inside = 0
        return shown


def run(command: Sequence[str], console: Path = CONSOLE) -> int:
    """Run it and show what the VM's kernel complains of; returns the exit status."""
    watched, complaints = Console(console), Complaints()
    try:
        process = subprocess.Popen(command, env={**os.environ, WATCHED: "1"})
    except FileNotFoundError:
        _say(f"vm: there is no {command[0]}: run vagrant/setup")
        return NOT_FOUND
    # Ctrl-C goes to the command as well, which knows what to do with it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    dead_since: float | None = None
    try:
        while process.poll() is None:
            _show(complaints, watched)
            if complaints.panic:
                dead_since = dead_since or time.monotonic()
                if time.monotonic() - dead_since > _DEAD_S:
                    _say("vm: the VM's kernel is dead: the command is ended")
                    for pid in _family(process.pid):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGTERM)
                    process.wait()
            time.sleep(_POLL_S)
        time.sleep(_SETTLE_S)
        _show(complaints, watched)
    finally:
        signal.signal(signal.SIGINT, before)
        watched.close()
    if not complaints.any:
        return process.returncode if process.returncode >= 0 else 128 - process.returncode
    _point_to(console)
    return COMPLAINED


def beside(parent: int, console: Path = CONSOLE) -> int:
    """Show what the VM's kernel complains of until the process `parent`, which began this, ends."""
    # Ctrl-C is for it; this ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched, complaints = Console(console), Complaints()
    while os.getppid() == parent:
        _show(complaints, watched)
        time.sleep(_POLL_S)
    time.sleep(_SETTLE_S)
    _show(complaints, watched)
    watched.close()
    if complaints.any:
        _point_to(console)
    return 0


def _point_to(console: Path) -> None:
    _say(f"vm: the VM's kernel complained (above); all it said: {console}")


def _family(pid: int) -> list[int]:
    """A process and those that came of it: the ssh that waits is a shell's child."""
    family = [pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name in brackets: state, parent.
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == pid:
                family += _family(int(stat.parent.name))
    return family


def _show(complaints: Complaints, watched: Console) -> None:
    for line in complaints.take(watched.lines()):
        _say(f"vm console: {line}")


def _say(text: str) -> None:
    """A line on stderr, also on a terminal that an ssh has made raw."""
    print(text, end="\r\n" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def follow(console: Path = CONSOLE) -> int:
    """Show the last lines and what comes, until Ctrl-C."""
    watched = Console(console, from_start=True)
    try:
        lines = watched.lines()[-_SHOWN_LINES:]
        while True:
            for line in lines:
                print(line, flush=True)
            time.sleep(_POLL_S)
            lines = watched.lines()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        watched.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m vagrant.watch", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--console", type=Path, default=CONSOLE)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("follow", help="show the console as it grows")
    running = actions.add_parser("run", help="run a command and watch the console meanwhile")
    running.add_argument("command", nargs=argparse.REMAINDER)
    besides = actions.add_parser("beside", help="watch the console until the parent ends")
    besides.add_argument("parent", type=int, help="its process id")
    options = parser.parse_args(arguments)
    if options.action == "run" and not options.command:
        parser.error("run: which command?")
    console: Path = options.console
    if options.action == "run":
        return run(options.command, console)
    if options.action == "beside":
        return beside(options.parent, console)
    if not console.exists():
        print(
            f"vm: no console in {console}: no VM has run; cd vagrant && vagrant up", file=sys.stderr
        )
        return 1
    return follow(console)


if __name__ == "__main__":
    sys.exit(main())
