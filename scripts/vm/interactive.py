# SPDX-License-Identifier: GPL-2.0-or-later
"""A shell in a virtual machine where kvmlog runs, at the developer's terminal: `make vm`.

    .venv/bin/python -m scripts.vm.interactive [--kernel 6.1] [--cpus 2] [--memory 2G] [COMMAND]

The VM is the runner's. In it is a terminal to which every key goes (Ctrl-C too), and which learns
of the window's size. COMMAND (bash) is scripts/vm/shell.sh unless it is given.
The exit status is the command's; 125 when the kernel complained or ended by itself, which is
then shown. Three times Ctrl-] ends a VM that hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import selectors
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from scripts.vm.kernels import PROJECT, Kernel, KernelError, find
from scripts.vm.runner import Machine, VmError, VmOptions, checked, run_directory

SHELL = "exec bash scripts/vm/shell.sh"
_END_KEY = b"\x1d"
_END_PRESSES, _END_WITHIN_S = 3, 1.0
# What a shell or an editor that could not end itself has left: bracketed paste, colours, a hidden
# cursor, the alternate screen.
_RESET = b"\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l"


class Terminal(Machine):
    """A machine whose command has this process's terminal."""

    ports = ("terminal", "window", "control")

    def __init__(self, kernel: Kernel, options: VmOptions, directory: Path) -> None:
        super().__init__(kernel, options, directory, echo=False)
        self._presses: list[float] = []

    def config(self) -> dict[str, str]:
        return {"VM_TERM": os.environ.get("TERM") or "linux"}

    def _follow(
        self, ours: dict[str, socket.socket], begin: float, timeout_s: float
    ) -> tuple[str, float]:
        """Relay between terminal and VM until the VM ends, or three presses of the key end it.

        Return why it was ended ("" when it ended by itself), and its boot time, s.
        """
        boot_s = 0.0
        with selectors.DefaultSelector() as selector, _window_changes() as changes, _raw():
            for port, end in ours.items():
                selector.register(end, selectors.EVENT_READ, port)
            selector.register(sys.stdin, selectors.EVENT_READ, "keys")
            selector.register(changes, selectors.EVENT_READ, "changes")
            _tell_window(ours["window"])
            while True:
                limit_s = self._kernel.boot_timeout_s
                left_s = None if boot_s else begin + limit_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return f"it did not boot within {limit_s:g} s", boot_s
                for key, _ in selector.select(left_s):
                    if key.data == "keys":
                        pressed = os.read(sys.stdin.fileno(), 1 << 12)
                        if not pressed or self._asks_for_the_end(pressed):
                            return "it was told to end", boot_s
                        ours["terminal"].sendall(pressed)
                    elif key.data == "changes":
                        changes.recv(1 << 12)
                        _tell_window(ours["window"])
                    else:
                        data = ours[key.data].recv(1 << 16)
                        if not data:  # QEMU has ended, and closed all of them
                            return "", boot_s
                        self._take(key.data, data)
                if not boot_s and self._received["control"]:
                    boot_s = time.monotonic() - begin

    def _take(self, port: str, data: bytes) -> None:
        if port == "terminal":
            _write(data)
        else:
            super()._take(port, data)

    def _asks_for_the_end(self, pressed: bytes) -> bool:
        # Keys that are pressed quickly come together.
        others = pressed.rstrip(_END_KEY)
        if others:
            self._presses.clear()
        now = time.monotonic()
        self._presses += [now] * (len(pressed) - len(others))
        del self._presses[:-_END_PRESSES]
        return len(self._presses) == _END_PRESSES and now - self._presses[0] < _END_WITHIN_S


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Every key is the VM's; afterwards the terminal is as it was, whatever happened."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _window_changes() -> Iterator[socket.socket]:
    """A socket that can be read when the window's size has changed."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def note(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            theirs.send(b"\0")

    before = signal.signal(signal.SIGWINCH, note)
    try:
        yield ours
    finally:
        signal.signal(signal.SIGWINCH, before)
        ours.close()
        theirs.close()


def _tell_window(port: socket.socket) -> None:
    size = os.get_terminal_size(sys.stdin.fileno())
    # A terminal that tells no size has 0 of both.
    port.sendall(b"%d %d\n" % (size.lines or 24, size.columns or 80))


def _write(data: bytes) -> None:
    """All of it, also to a terminal that others have made non-blocking."""
    terminal = sys.stdout.fileno()
    while data:
        try:
            data = data[os.write(terminal, data) :]
        except BlockingIOError:
            select.select([], [terminal], [])


def _ended(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Returns the exit status; see above."""
    parser = argparse.ArgumentParser(prog="python -m scripts.vm.interactive", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kernel", default="6.1", help="series or version (default: 6.1)")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", default="2G")
    parser.add_argument("command", nargs="?", default=SHELL)
    args = parser.parse_args()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(
            "vm: this is a shell and needs a terminal, which stdin and stdout are not; for one "
            "command without a terminal take `make vm-sh CMD='...'`",
            file=sys.stderr,
        )
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ended)
    try:
        kernel = find(args.kernel)
        with run_directory(kernel) as directory:
            machine = Terminal(kernel, VmOptions(args.cpus, args.memory), directory)
            result, killed = machine.run(args.command, PROJECT, 0.0, None)
        if killed or result.exit_code is None:
            _write(_RESET + b"\n")
        return checked(kernel, result, killed).exit_code or 0
    except (VmError, KernelError) as error:
        print(f"vm: {error}", file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main())
