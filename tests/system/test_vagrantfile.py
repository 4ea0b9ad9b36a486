# SPDX-License-Identifier: GPL-2.0-or-later
"""The Vagrantfile, as Vagrant itself and its provider libvirt read it; no VM is started."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
HANG_S = 120


def vagrant_begun(home: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    """`vagrant ...` of a developer who has no box and no VM, at its begin."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("KVMLOG_")}
    return subprocess.Popen(
        ["vagrant", *arguments],
        cwd=PROJECT / "vagrant",
        env={
            **inherited,
            "VAGRANT_HOME": str(home / "home"),
            "VAGRANT_DOTFILE_PATH": str(home / "machines"),
            **settings,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def vagrant(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The same, at its end."""
    process = vagrant_begun(home, *arguments, **settings)
    out, said = process.communicate(timeout=HANG_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, said)


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
    """The Vagrantfile is valid with our boxes and with a public one."""
    done = vagrant(tmp_path, "validate", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Vagrantfile validated successfully." in done.stdout


@pytest.mark.parametrize("setting", ["KVMLOG_CPUS", "KVMLOG_MEMORY", "KVMLOG_RPC_PORT"])
def test_a_setting_that_is_no_number_is_shown(tmp_path: Path, setting: str) -> None:
    """The message is Vagrant's, with the line of the Vagrantfile that reads the setting."""
    done = vagrant(tmp_path, "validate", **{setting: "two"})
    assert done.returncode != 0
    assert 'invalid value for Integer(): "two"' in done.stderr


def test_another_provider_is_refused(tmp_path: Path) -> None:
    """Vagrant refuses another provider that is requested.

    A default provider for other projects changes nothing.
    """
    done = vagrant(tmp_path, "up", "--provider=virtualbox")
    assert done.returncode != 0
    assert "The provider 'virtualbox' that was requested to back the machine" in done.stderr
    done = vagrant(tmp_path, "status", VAGRANT_DEFAULT_PROVIDER="virtualbox")
    assert "(libvirt)" in done.stdout


def test_an_oops_comes_to_the_terminal_of_vagrant_ssh(tmp_path: Path) -> None:
    """The oops is shown by a watcher that ends with `vagrant ssh`."""
    console = PROJECT / "build" / "vagrant" / f"{tmp_path.name}.console"
    console.parent.mkdir(parents=True, exist_ok=True)
    process = vagrant_begun(tmp_path, "ssh", "-c", "true", KVMLOG_VM=tmp_path.name)
    try:
        with console.open("a", buffering=1) as kernel, ThreadPoolExecutor() as pool:
            # Its end is that of all that can write there.
            ended = pool.submit(process.communicate, timeout=HANG_S)
            while not ended.done():
                kernel.write("BUG: kernel NULL pointer dereference, address: 0000000000000008\n")
                time.sleep(0.05)
    finally:
        console.unlink()
    out, said = ended.result()
    assert out == ""
    assert "VM must be created before running this command." in said
    assert "vm console: BUG: kernel NULL pointer dereference" in said
