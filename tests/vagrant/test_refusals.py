# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps `vagrant up` or make-box from working is said in a sentence, before anything long."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vagrant.daemons import Daemons, virsh
from tests.vagrant.machine import NAME, PORT, PROJECT, Machine

POOL = "kvmlog-test-small"
MAKE_BOX = str(PROJECT / "vagrant" / "make-box")
DOMAIN = f"""<domain type='qemu'><name>{NAME}</name><memory>16384</memory>
<os><type machine='q35'>hvm</type></os></domain>"""


def refusal(machine: Machine, **settings: str) -> str:
    """What `vagrant up` says, which must fail and leave no VM of ours."""
    done = machine.vagrant("up", settings=settings)
    assert done.status != 0, done.output
    assert "Bringing machine" in done.output
    assert "Creating domain" not in done.output
    assert "Traceback" not in done.output
    return done.output


def test_no_libvirtd(machine: Machine, daemons: Daemons | None) -> None:
    """Named, with how it is started."""
    if daemons is None:
        pytest.skip("libvirtd is the system's: stopping it is not ours; stop it and run this again")
    daemons.stop()
    try:
        output = refusal(machine)
    finally:
        daemons.start()
    assert "kvmlog: libvirtd does not answer (qemu:///system): start it" in output


def test_another_vm_with_the_name(machine: Machine, tmp_path: Path) -> None:
    """It is left alone, and the sentence says how to choose another name."""
    definition = tmp_path / "domain.xml"
    definition.write_text(DOMAIN)
    assert virsh("define", str(definition)).returncode == 0
    try:
        output = refusal(machine)
        assert virsh("dominfo", NAME).returncode == 0
    finally:
        virsh("undefine", NAME)
    assert f"kvmlog: there is another VM named {NAME}" in output
    assert "KVMLOG_VM" in output


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


@pytest.fixture
def small(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    """A file system with 64 MiB, and a storage pool in it."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "none", str(place)], check=True)
    assert virsh("pool-create-as", POOL, "dir", "--target", str(place)).returncode == 0
    yield place
    virsh("pool-destroy", POOL)
    subprocess.run(["umount", str(place)], check=True)


def test_no_space_in_the_pool(machine: Machine, small: Path) -> None:
    """Said with how much there is and how much it takes."""
    output = refusal(machine, KVMLOG_POOL=POOL)
    said = f"kvmlog: libvirt's storage pool {POOL} has 6[34] MiB free, 4096 are needed at least"
    assert re.search(said, output) is not None


def test_no_space_for_a_box(machine: Machine) -> None:
    """Said before anything is fetched."""
    done = machine.command(MAKE_BOX, settings={"KVMLOG_BOX_NEED_MIB": "900000000"})
    assert done.status == 1
    assert "a box takes 900000000 while it is built" in done.output


def test_a_kernel_that_no_box_is_for(machine: Machine) -> None:
    """Named with those that there are, by the box's maker and by the Vagrantfile."""
    done = machine.command(MAKE_BOX, "5.10")
    assert done.status == 1
    assert done.output.startswith(
        "make-box: '5.10' is no kernel that a box is built for (6.1 or 6.12)"
    )
    done = machine.vagrant("up", settings={"KVMLOG_KERNEL": "5.10"})
    assert done.status != 0
    assert "vagrant: KVMLOG_KERNEL must be 6.1 or 6.12, is '5.10'" in done.output


def test_a_user_who_cannot_build_a_box(machine: Machine) -> None:
    """Who is neither root nor has user namespaces is told of both ways."""
    done = machine.command("setpriv", "--reuid=65534", "--clear-groups", MAKE_BOX, "6.1")
    assert done.status == 1
    assert "or: sudo vagrant/make-box" in done.output
    assert "/etc/subuid" in done.output
