# SPDX-License-Identifier: GPL-2.0-or-later
"""Refusals of `vagrant up` and make-box: in a sentence, before anything that takes long.

By Vagrant and vagrant-libvirt themselves, wherever they do.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.vagrant.daemons import Daemons, virsh
from tests.vagrant.machine import NAME, PORT, PROJECT, Machine

MAKE_BOX = str(PROJECT / "vagrant" / "make-box")
DOMAIN = f"""<domain type='qemu'><name>{NAME}</name><memory>16384</memory>
<os><type machine='q35'>hvm</type></os></domain>"""


def refusal(machine: Machine, **settings: str) -> str:
    """Return the output of `vagrant up`, which must fail and leave no VM of ours."""
    done = machine.vagrant("up", settings=settings)
    assert done.status != 0, done.output
    assert "Bringing machine" in done.output
    assert "Creating domain" not in done.output
    assert "Traceback" not in done.output
    return done.output


def test_no_libvirtd(machine: Machine, daemons: Daemons | None) -> None:
    """Its socket is named."""
    if daemons is None:
        pytest.skip("libvirtd is the system's: stopping it is not ours; stop it and run this again")
    daemons.stop()
    try:
        output = refusal(machine)
    finally:
        daemons.start()
    assert "Error while connecting to Libvirt" in output
    assert "Failed to connect socket to '/var/run/libvirt/libvirt-sock'" in output


def test_another_vm_with_the_name(machine: Machine, tmp_path: Path) -> None:
    """It is named, and left alone."""
    definition = tmp_path / "domain.xml"
    definition.write_text(DOMAIN)
    assert virsh("define", str(definition)).returncode == 0
    try:
        output = refusal(machine)
        assert virsh("dominfo", NAME).returncode == 0
    finally:
        virsh("undefine", NAME)
    assert f"Name `{NAME}` of domain about to create is already taken." in output


def test_no_box(machine: Machine, tmp_path: Path) -> None:
    """Named, with what builds it."""
    output = refusal(machine, VAGRANT_HOME=str(tmp_path / "home"))
    assert f"kvmlog: Vagrant has no box kvmlog-{machine.kernel} for libvirt" in output
    assert f"vagrant/make-box {machine.kernel}" in output


def test_a_port_that_is_taken(machine: Machine) -> None:
    """Named, with how to see who has it."""
    with socket.create_server(("127.0.0.1", PORT)):
        output = refusal(machine)
    assert f"kvmlog: port {PORT} of 127.0.0.1" in output
    assert "KVMLOG_RPC_PORT" in output


def test_a_kernel_that_no_box_is_for(machine: Machine) -> None:
    """Named with those that there are by the box's maker; `vagrant up` knows no such box."""
    done = machine.command(MAKE_BOX, "5.10")
    assert done.status == 1
    assert done.output.startswith(
        "make-box: '5.10' is no kernel that a box is built for (6.1 or 6.12)"
    )
    output = refusal(machine, KVMLOG_KERNEL="5.10")
    assert "kvmlog: Vagrant has no box kvmlog-5.10 for libvirt" in output


def test_a_user_who_cannot_build_a_box(machine: Machine) -> None:
    """A user who is neither root nor has user namespaces is told what it takes."""
    done = machine.command("setpriv", "--reuid=65534", "--clear-groups", MAKE_BOX, "6.1")
    assert done.status == 1
    assert "a box is built by root, or where a user can make user namespaces" in done.output
    assert "/etc/subuid" in done.output
