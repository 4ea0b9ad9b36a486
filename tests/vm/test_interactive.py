# SPDX-License-Identifier: GPL-2.0-or-later
"""`make vm` at a terminal: keys, signals, jobs, the window's size, and the terminal afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import selectors
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

from scripts.vm.kernels import PROJECT

COMMAND = [sys.executable, "-m", "scripts.vm.interactive"]
# A prompt is there before readline has begun to read keys, yet none is lost: they wait in the tty.
PROMPT = r"vm> "
SHELL = "exec env PS1='vm> ' TERM=dumb bash --norc -i"
# It says that it is in the foreground; its echo does not.
SLEEP = """sh -c 'echo be""gun; exec sleep 1000'\r"""
HANG_S = 300


class Typist:
    """Somebody at a terminal of 33 rows and 111 columns, where a VM has been started."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(33, 111)
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            # It has to be its controlling terminal, to tell of changes.
            ["setsid", "--ctty", *COMMAND, *arguments],
            cwd=PROJECT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # readline has no colours and no modes for it.
            env={**os.environ, "TERM": "dumb"},
        )
        self._theirs = theirs
        self._text = ""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ours, selectors.EVENT_READ)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size as a terminal does; its process gets SIGWINCH."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self._ours, keys.encode())

    def sees(self, pattern: str) -> str:
        """Waits for it on the terminal; what stood before it since the last time."""
        deadline = time.monotonic() + HANG_S
        while not (found := re.search(pattern, self._text)):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self._text!r}"
            if self._selector.select(1.0):
                self._text += os.read(self._ours, 1 << 16).decode(errors="replace")
        before, self._text = self._text[: found.start()], self._text[found.end() :]
        return before

    def does(self, command: str, prompt: str = PROMPT) -> str:
        """Return a command's output, between its echo and the next prompt."""
        self.type(command + "\r")
        self.sees(re.escape(command) + r"\r+\n")
        return self.sees(prompt).replace("\r\n", "\n")

    def ends(self) -> int:
        """Waits for the end; its exit status. The terminal has to be as it was."""
        deadline = time.monotonic() + HANG_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end: {self._text!r}"
            if self._selector.select(0.2):
                self._text += os.read(self._ours, 1 << 16).decode(errors="replace")
        assert termios.tcgetattr(self._theirs) == self.before
        return self.process.returncode

    def close(self) -> None:
        """Ends it if it still runs."""
        self.process.kill()
        self.process.wait()
        self._selector.close()
        os.close(self._ours)
        os.close(self._theirs)


@contextlib.contextmanager
def typist(*arguments: str) -> Iterator[Typist]:
    """A typist until the end."""
    with contextlib.closing(Typist(*arguments)) as somebody:
        yield somebody


def test_a_shell_in_the_vm_is_like_one_here() -> None:
    """Size, Ctrl-C, Ctrl-Z, a changed window, much output; exit status and terminal at the end."""
    with typist(SHELL) as at:
        at.sees(PROMPT)
        assert at.does("stty size") == "33 111\n"
        assert at.does("test -c /dev/kvm && uname -r").startswith("6.1.")

        at.type(SLEEP)
        at.sees("begun")
        at.type("\x03")
        at.sees(PROMPT)
        assert at.does("echo $?") == "130\n"
        at.type(SLEEP)
        at.sees("begun")
        at.type("\x1a")
        at.sees("Stopped")
        at.sees(PROMPT)
        assert "sleep 1000" in at.does("jobs")
        at.does("disown %1")

        at.resize(40, 100)
        assert (
            at.does("until [ $(stty size | cut -c1-2) = 40 ]; do :; done; stty size") == "40 100\n"
        )
        assert at.does("seq 20000") == "".join(f"{number}\n" for number in range(1, 20_001))
        at.type("exit 7\r")
        assert at.ends() == 7


def test_what_make_vm_gives_is_a_traced_host() -> None:
    """Services, a guest, and tracing on: what the text before the prompt says is there."""
    prompt = re.escape(f"[kvmlog-vm {PROJECT.name}]# ")
    with typist() as at:
        said = at.sees(prompt)
        assert "a guest that is called demo-guest, tracing is on" in said
        assert "vm: " not in said
        status = json.loads(at.does("kvmlog status --json", prompt))
        assert (status["bridge"]["state"], status["bridge"]["source"]["name"]) == ("on", "kmod")
        dumped = [json.loads(line) for line in at.does("kvmlog dump --json", prompt).splitlines()]
        exits = [one for one in dumped if one["type_name"] == "exit"]
        (name,) = {one["guest_name"] for one in exits}
        assert name.startswith("demo-guest:")
        assert {one["reason_name"] for one in exits} >= {"cpuid", "hlt", "io", "msr", "npf"}
        at.type("exit\r")
        assert at.ends() == 0


def test_a_panic_in_it_is_shown_and_the_terminal_is_as_it_was() -> None:
    """125, with what the kernel said."""
    with typist(SHELL) as at:
        at.sees(PROMPT)
        at.type("echo c >/proc/sysrq-trigger\r")
        at.sees("sysrq_handle_crash")
        assert at.ends() == 125


def test_three_keys_end_a_vm_that_hangs() -> None:
    """Ctrl-C is the VM's; this is not."""
    with typist("trap '' INT; echo begun; sleep 1000") as at:
        at.sees("begun")
        at.type("\x03\x1d\x1d\x1d")
        at.sees("it was told to end")
        assert at.ends() == 125


def test_without_a_terminal_it_names_what_needs_none() -> None:
    """No VM is started."""
    done = subprocess.run(
        COMMAND, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "make vm-sh CMD=" in done.stderr
