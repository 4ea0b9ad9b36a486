# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching a VM's console while a command runs: what is shown, and what the exit status tells."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vagrant.watch import COMPLAINED, Complaints, Console, run

OOPS = (
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "RIP: 0010:kvmlog_probe+0x12/0x40 [kvmlog]",
    "---[ end trace 0000000000000000 ]---",
)
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
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
