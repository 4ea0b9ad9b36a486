# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching a VM's console while a command runs: what is shown, and what the exit status tells."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vagrant.watch import COMPLAINED, WATCHED, Complaints, Console, run

OOPS = (
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "RIP: 0010:kvmlog_probe+0x12/0x40 [kvmlog]",
    "---[ end trace 0000000000000000 ]---",
)
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
PROJECT = Path(__file__).parents[3]
NOBODY = 65_534
APPEND = "import sys; open(sys.argv[1], 'a').write(sys.argv[2]);"


def script(console: Path, text: str, then: str = "") -> list[str]:
    """A command that makes the console say this."""
    return [sys.executable, "-c", APPEND + then, str(console), text]


@pytest.fixture
def console(tmp_path: Path) -> Path:
    """A console with an old oops on it, which is nobody's of now."""
    path = tmp_path / "console.log"
    path.write_text("\n".join(OOPS) + "\n")
    return path


def test_a_quiet_kernel_leaves_the_commands_status(
    console: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it is, and whatever was on the console before."""
    assert run(script(console, "eth0: link up\n", "sys.exit(3)"), console) == 3
    assert capsys.readouterr().err == ""


def test_an_oops_is_shown_whole(console: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From its first line to its end, not what is before or after."""
    text = "\n".join(("eth0: link up", *OOPS, "eth0: link down", ""))
    assert run(script(console, text), console) == COMPLAINED
    shown = capsys.readouterr().err.splitlines()
    assert shown[:-1] == [f"vm console: {line}" for line in OOPS]
    assert str(console) in shown[-1]


def test_a_command_that_waits_for_a_dead_vm_is_ended(
    console: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its children; ssh would wait as long as the network's patience lasts."""
    child = tmp_path / "child"
    text = 'echo "$1" >>"$0"; sleep 3600 & echo $! >"$2"; wait'
    assert run(["sh", "-c", text, str(console), PANIC, str(child)], console) == COMPLAINED
    assert f"vm console: {PANIC}\n" in capsys.readouterr().err
    assert not Path("/proc", child.read_text().strip(), "exe").exists()


def test_a_signals_end_is_told_as_a_shell_does(console: Path) -> None:
    """128 and the signal's number."""
    assert run(script(console, "", "import os; os.kill(os.getpid(), 15)"), console) == 128 + 15


def test_the_console_is_followed_into_a_new_file(console: Path) -> None:
    """virtlogd renames what has become too long and begins again."""
    watched = Console(console)
    with console.open("a") as file:
        file.write("last of the old\n")
    console.rename(console.with_suffix(".log.0"))
    console.write_text("first of the new\nhalf a li")
    assert watched.lines() == ["last of the old", "first of the new"]
    with console.open("a") as file:
        file.write("ne\n")
    assert watched.lines() == ["half a line"]
    watched.close()


def test_a_console_that_comes_later_is_seen(tmp_path: Path) -> None:
    """The VM is started by the command that is watched."""
    path = tmp_path / "console.log"
    watched = Console(path)
    assert watched.lines() == []
    path.write_text("\x1b[0;32mbooting\x1b[0m\r\n")
    assert watched.lines() == ["booting"]
    watched.close()


def test_complaints_end_where_the_kernel_ends_them() -> None:
    """The boot log after a panic is no part of it."""
    complaints = Complaints()
    rebooting = [PANIC, "Call Trace:", "Rebooting in 10 seconds..", "SeaBIOS (version 1.16)"]
    assert complaints.take(rebooting) == rebooting[:3]
    lines = [
        PANIC,
        "Call Trace:",
        "---[ end Kernel panic - not syncing: sysrq ]---",
        "Linux version 6.1",
    ]
    assert complaints.take(lines) == lines[:3]
    assert complaints.panic


def test_a_complaint_without_an_end_is_shown_so_far() -> None:
    """A warning of one line is not followed by all that is said ever after."""
    lines = ["WARNING: something", *(f"line {number}" for number in range(1000))]
    assert Complaints().take(lines) == lines[:120]


def test_a_command_that_is_watched_knows_it(console: Path) -> None:
    """Vagrant begins no second watcher."""
    assert run([sys.executable, "-c", f"import os; exit(os.environ[{WATCHED!r}] != '1')"]) == 0


# Begins a watcher as the Vagrantfile does, has the console say this, and becomes what ends at once.
BESIDE = """
import contextlib, glob, os, subprocess, sys, time

def files(pid):
    for link in glob.glob(f"/proc/{pid}/fd/*"):
        # A Python that starts opens and closes many.
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(link)

console, text = sys.argv[1:]
words = ("-m", "vagrant.watch", "--console", console, "beside", str(os.getpid()))
watcher = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
while console not in files(watcher.pid):
    time.sleep(0.01)
open(console, "a").write(text)
os.execvp("echo", ["echo", "done"])
"""


def beside(console: Path, text: str) -> tuple[str, str]:
    """What came on stdout and stderr until the watcher had let go of both."""
    done = subprocess.run(
        [sys.executable, "-c", BESIDE, str(console), text],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_an_oops_beside_a_process_is_shown(console: Path) -> None:
    """Also when that becomes another, as Vagrant becomes ssh; the watcher ends after it."""
    out, shown = beside(console, "\n".join(("eth0: link up", *OOPS, "eth0: link down", "")))
    assert out == "done\n"
    assert shown.splitlines()[:-1] == [f"vm console: {line}" for line in OOPS]
    assert str(console) in shown.splitlines()[-1]


def test_beside_a_process_nothing_is_said_of_a_quiet_kernel(console: Path) -> None:
    """The oops that stands there already was somebody else's."""
    assert beside(console, "eth0: link up\n") == ("done\n", "")


@pytest.fixture
def unreadable() -> Iterator[Path]:
    """A console as libvirt makes it, of whose first lines there is an oops, and we are not root."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "console")
        path.write_text("\n".join(OOPS) + "\n")
        path.chmod(0)
        Path(name).chmod(0o755)
        with contextlib.ExitStack() as stack:
            if os.geteuid() == 0:
                os.seteuid(NOBODY)
                stack.callback(os.seteuid, 0)
            yield path


def as_owner_allow(path: Path) -> None:
    """What the remedy does: it can be read."""
    euid = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    path.chmod(0o644)
    os.seteuid(euid)


def test_a_console_that_cannot_be_read_is_said_once(
    unreadable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the remedy; after that what is new is shown, and nothing of before."""
    watched = Console(unreadable)
    assert [watched.lines() for _ in range(3)] == [[]] * 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{unreadable} cannot be read" in said
    assert said.endswith(f"sudo chown {os.geteuid()} {unreadable}\n")
    as_owner_allow(unreadable)
    assert watched.lines() == []
    watched.close()
