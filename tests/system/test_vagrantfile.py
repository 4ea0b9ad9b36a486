# SPDX-License-Identifier: GPL-2.0-or-later
"""The Vagrantfile, as Vagrant itself and its provider libvirt read it; no VM is started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
HANG_S = 120


def vagrant(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`vagrant ...` of a developer who has no box and no VM."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("KVMLOG_")}
    return subprocess.run(
        ["vagrant", *arguments],
        cwd=PROJECT / "vagrant",
        env={
            **inherited,
            "VAGRANT_HOME": str(home / "home"),
            "VAGRANT_DOTFILE_PATH": str(home / "machines"),
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"KVMLOG_KERNEL": "6.12", "KVMLOG_VM": "second", "KVMLOG_RPC_PORT": "50090"},
        {"KVMLOG_BOX": "debian/bookworm64", "KVMLOG_CPUS": "4", "KVMLOG_MEMORY": "4096"},
    ],
    ids=["default", "second", "public"],
)
def test_vagrant_accepts_the_vagrantfile(tmp_path: Path, settings: dict[str, str]) -> None:
    """With our boxes and with a public one."""
    done = vagrant(tmp_path, "validate", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Vagrantfile validated successfully." in done.stdout


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KVMLOG_KERNEL": "5.10"}, "vagrant: KVMLOG_KERNEL must be 6.1 or 6.12, is '5.10'\n"),
        ({"KVMLOG_CPUS": "two"}, "vagrant: KVMLOG_CPUS must be a whole number, is 'two'\n"),
        (
            {"KVMLOG_RPC_PORT": "http"},
            "vagrant: KVMLOG_RPC_PORT must be a whole number, is 'http'\n",
        ),
    ],
    ids=["kernel", "cpus", "port"],
)
def test_a_wrong_setting_is_named(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """With what it may be."""
    done = vagrant(tmp_path, "validate", **settings)
    assert done.returncode != 0
    assert said in done.stderr
