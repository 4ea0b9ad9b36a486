# SPDX-License-Identifier: GPL-2.0-or-later
"""Other users, groups and networks of this machine, for tests of access; needs root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.bridge_process import HANG_S, KVMLOG

as_root: Final = pytest.mark.skipif(
    os.geteuid() != 0, reason="becomes other users; run as root to test it"
)

NOBODY: Final = 65_534
# A user that every Debian has, with a primary group of the same name.
MEMBER: Final = "games"
MEMBER_UID: Final = 5
MEMBER_GID: Final = 60

ADDRESS: Final = "192.0.2.7"


def run_as(uid: int, program: str, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
    """Run a Python program as another user, with the stdlib only; return what it prints."""
    done = subprocess.run(
        [*prefix, "/usr/bin/python3", "-c", program, *arguments],
        user=uid,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of `kvmlog`, to its end, as a user in no group."""
    return subprocess.run(
        [*KVMLOG, *arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def group_file(folder: Path, line: str) -> list[str]:
    """Return a prefix for a command that sees this line, a group kvmlog, in /etc/group."""
    path = folder / "group"
    path.write_text(Path("/etc/group").read_text(encoding="utf-8") + line, encoding="utf-8")
    script = 'mount --bind "$1" /etc/group && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(path)]


def own_network() -> list[str]:
    """Return a prefix for a command in its own network, which has ADDRESS beside loopback."""
    script = f'ip link set lo up && ip address add {ADDRESS}/32 dev lo && exec "$@"'
    return ["unshare", "--net", "sh", "-c", script, "sh"]


def same_network(pid: int) -> list[str]:
    """Return a prefix for a command in the network of that process."""
    return ["nsenter", "--net", f"--target={pid}"]
