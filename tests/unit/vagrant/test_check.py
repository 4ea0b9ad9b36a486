# SPDX-License-Identifier: GPL-2.0-or-later
"""What `vagrant up` checks first, as far as that needs no libvirt (tests/vagrant has the rest)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vagrant import check

OPTIONS = (
    "--name",
    "kvmlog-no-such-vm",
    "--pool",
    "default",
    "--port",
    "50080",
    "--box",
    "kvmlog-6.1",
)


def test_a_port_that_is_taken_is_named() -> None:
    """With how to see who has it, and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(check.CheckError, match=f"port {port} of 127.0.0.1.*KVMLOG_RPC_PORT"):
            check.check_port(port)
    check.check_port(port)


@pytest.mark.parametrize("port", [0, 1023, 65_536, -1])
def test_a_port_that_cannot_be_forwarded(port: int) -> None:
    """A developer is not root, and ports end at 65535."""
    with pytest.raises(check.CheckError, match=f"KVMLOG_RPC_PORT must be 1024 to 65535, is {port}"):
        check.check_port(port)


@pytest.mark.parametrize(
    ("box", "remedy"),
    [
        ("kvmlog-6.12", "build it: vagrant/make-box 6.12"),
        ("mine", "vagrant box add --provider libvirt --name mine FILE-OR-URL"),
    ],
)
def test_a_missing_box_is_named(box: str, remedy: str) -> None:
    """One of ours with how it is built."""
    with pytest.raises(check.CheckError, match=f"Vagrant has no box {box} for libvirt: {remedy}"):
        check.check_box(box, missing=True)
    check.check_box(box, missing=False)


def test_without_virsh_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine where nothing is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check.main(OPTIONS) == 1
    said = "kvmlog: there is no virsh (package libvirt-clients): run vagrant/setup.\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        ("Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file", "start it ("),
        ("authentication unavailable: no polkit agent available", "adduser dev libvirt"),
        (
            "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied",
            "adduser dev",
        ),
    ],
    ids=["down", "polkit", "socket"],
)
def test_what_virsh_says_becomes_a_remedy(
    answer: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No libvirtd, and no right to it, look alike to virsh's callers."""
    virsh = tmp_path / "virsh"
    said = f"error: failed to connect to the hypervisor; error: {answer}"
    virsh.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n')
    virsh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("USER", "dev")
    with pytest.raises(check.CheckError) as refused:
        check.virsh("version")
    assert remedy in str(refused.value)


def test_half_an_image_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed upload has left is named with how it is removed; a whole one is good."""
    virsh = tmp_path / "virsh"
    virsh.write_text("#!/bin/sh\necho \"<physical unit='bytes'>1000</physical>\"\n")
    virsh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(check.CheckError, match=r"has 1000 of 1001 bytes.*vol-delete --pool p box"):
        check.check_image("p", "box.img", 1001)
    check.check_image("p", "box.img", 1000)
