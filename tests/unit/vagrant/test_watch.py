# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching a VM's console beside a process: what is shown of it, and until when."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

WATCH = Path(__file__).parents[3] / "vagrant" / "watch"
HANG_S = 60
OOPS = (
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "RIP: 0010:kvmlog_probe+0x12/0x40 [kvmlog]",
    "---[ end trace 0000000000000000 ]---",
)
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
NOBODY = 65_534
SEEN = "Oops: the watcher is there"
END = "---[ end of that ]---"


class Watched:
    """A process that does nothing, and the watcher beside it; command: words before both."""

    def __init__(self, console: Path, stderr: Path, *command: str) -> None:
        self._console = console
        self._stderr = stderr
        self._process = subprocess.Popen([*command, "sleep", str(HANG_S)])
        with stderr.open("w") as file:
            self._watcher = subprocess.Popen(
                [*command, str(WATCH), str(console), str(self._process.pid)], stderr=file
            )

    def say(self, *lines: str) -> None:
        """Have the kernel say this."""
        with self._console.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def until_shown(self, text: str, *, say: Sequence[str] = ()) -> None:
        """Wait until it is shown; meanwhile the kernel says `say` over and over."""
        end = time.monotonic() + HANG_S / 2
        while text not in self._stderr.read_text():
            assert time.monotonic() < end, f"{text} is not shown"
            self.say(*say)
            time.sleep(0.1)

    def end(self) -> list[str]:
        """End the process; returns what was shown when the watcher has ended as well."""
        self._process.kill()
        self._process.wait()
        self._watcher.wait(timeout=HANG_S)
        shown = self._stderr.read_text().splitlines()
        return [line for line in shown if not line.endswith((SEEN, END))]


@contextlib.contextmanager
def watching(console: Path, stderr: Path, *command: str) -> Iterator[Watched]:
    """Run a watcher, and end it whatever comes."""
    watched = Watched(console, stderr, *command)
    try:
        yield watched
    finally:
        watched.end()


@pytest.fixture
def console(tmp_path: Path) -> Path:
    """A console with an old oops on it, which is nobody's of now."""
    path = tmp_path / "console.log"
    path.write_text("\n".join(OOPS) + "\n")
    return path


@pytest.fixture
def watched(console: Path, tmp_path: Path) -> Iterator[Watched]:
    """The watcher, which watches."""
    with watching(console, tmp_path / "stderr") as watched:
        watched.until_shown(SEEN, say=(SEEN, END))
        yield watched


def shown_as(*lines: str) -> list[str]:
    """The lines as the watcher shows them."""
    return [f"vm console: {line}" for line in lines]


def test_nothing_is_said_of_a_quiet_kernel(watched: Watched) -> None:
    """The oops that stands there already was somebody else's."""
    watched.say("eth0: link up")
    assert watched.end() == []


def test_an_oops_is_shown_whole(watched: Watched) -> None:
    """The text from its first line to its end is shown, and nothing before or after."""
    watched.say("eth0: link up", *OOPS, "eth0: link down")
    assert watched.end() == shown_as(*OOPS)


def test_the_boot_after_a_panic_is_no_part_of_it(watched: Watched) -> None:
    """The panic ends where the kernel ends it."""
    rebooting = (PANIC, "Call Trace:", "Rebooting in 10 seconds..")
    watched.say(*rebooting, "SeaBIOS (version 1.16)")
    assert watched.end() == shown_as(*rebooting)


def test_a_complaint_without_an_end_is_shown_so_far(watched: Watched) -> None:
    """A warning of one line is not followed by all that is said ever after."""
    lines = ["WARNING: something", *(f"line {number}" for number in range(1000))]
    watched.say(*lines)
    assert watched.end() == shown_as(*lines[:120])


def test_the_console_is_followed_into_a_new_file(watched: Watched, console: Path) -> None:
    """virtlogd renames what has become too long and begins again."""
    watched.say(PANIC)
    console.rename(console.with_suffix(".log.0"))
    console.write_text("first of the new\n")
    watched.until_shown("first of the new")
    watched.say(END, "link up", *OOPS)
    assert watched.end() == shown_as(PANIC, "first of the new", *OOPS)


def test_a_console_that_comes_later_is_seen(tmp_path: Path) -> None:
    """The VM is started by the command that is watched."""
    with watching(tmp_path / "console.log", tmp_path / "stderr") as watched:
        watched.until_shown(SEEN, say=(SEEN, END))
        watched.say(*OOPS)
        assert watched.end() == shown_as(*OOPS)


def test_a_console_that_cannot_be_read_is_said_once(tmp_path: Path) -> None:
    """The message has the remedy; the file is another user's, as libvirt makes it."""
    uid = os.getuid() or NOBODY
    other = () if os.getuid() else ("setpriv", f"--reuid={uid}", "--clear-groups")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        console = Path(name, "console")
        console.write_text("\n".join(OOPS) + "\n")
        console.chmod(0)
        with watching(console, tmp_path / "stderr", *other) as watched:
            watched.until_shown("cannot be read")
            time.sleep(2)
            (said,) = watched.end()
    assert said.startswith(f"{console} cannot be read")
    assert said.endswith(f"sudo chown {uid} {console}")
