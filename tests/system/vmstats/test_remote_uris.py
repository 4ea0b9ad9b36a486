# SPDX-License-Identifier: GPL-2.0-or-later
"""Collecting over TLS and ssh, over several connections at once, and from the test driver."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.bridge_process import until
from tests.support.certificates import Authority
from tests.support.libvirt_guest import LibvirtGuest
from tests.support.libvirt_host import LibvirtHost
from tests.support.vmstats_process import collector

_TEST: Final = "test:///default"
_SSH_PORT: Final = 2222


@pytest.fixture
def tls(libvirtd: LibvirtHost, tmp_path: Path) -> Iterator[str]:
    """The URI of a libvirtd that serves TLS, in its namespaces, to clients with a certificate."""
    pki = tmp_path / "pki"
    pki.mkdir()
    authority = Authority(pki)
    certificate, key = authority.issue("server")
    for name, made in zip(("clientcert", "clientkey"), authority.issue("client"), strict=True):
        (pki / f"{name}.pem").write_bytes(made.read_bytes())
    (pki / "cacert.pem").write_bytes(authority.certificate.read_bytes())
    settings = libvirtd.folder / "etc" / "libvirtd.conf"
    plain = settings.read_text()
    settings.write_text(
        f'{plain}listen_tls = 1\nlisten_addr = "127.0.0.1"\nauth_tls = "none"\n'
        f'ca_file = "{authority.certificate}"\ncert_file = "{certificate}"\nkey_file = "{key}"\n'
    )
    libvirtd.stop_daemon()
    libvirtd.start_daemon("--listen")
    yield f"qemu+tls://127.0.0.1/system?pkipath={pki}"
    settings.write_text(plain)
    libvirtd.stop_daemon()
    libvirtd.start_daemon()


@pytest.fixture
def ssh(libvirtd: LibvirtHost, tmp_path: Path) -> Iterator[str]:
    """The URI of this libvirtd through an sshd in its namespaces."""
    keys = {name: tmp_path / name for name in ("host", "user")}
    for key in keys.values():
        command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        subprocess.run(command, check=True, capture_output=True)
    settings = tmp_path / "sshd_config"
    settings.write_text(
        f"ListenAddress 127.0.0.1:{_SSH_PORT}\nHostKey {keys['host']}\nUsePAM no\n"
        f"AuthorizedKeysFile {keys['user']}.pub\nPermitRootLogin prohibit-password\n"
        f"StrictModes no\nPidFile {tmp_path / 'sshd.pid'}\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    daemon = libvirtd.begin("/usr/sbin/sshd", "-D", "-e", "-f", str(settings), log="sshd.log")
    try:
        until(lambda: "Server listening" in (libvirtd.folder / "sshd.log").read_text())
        yield (
            f"qemu+ssh://root@127.0.0.1:{_SSH_PORT}/system?keyfile={keys['user']}"
            "&no_verify=1&no_tty=1"
        )
    finally:
        daemon.terminate()
        daemon.wait()


@pytest.mark.parametrize("how", ["tls", "ssh"])
def test_a_remote_connection(
    libvirtd: LibvirtHost,
    guests: tuple[LibvirtGuest, LibvirtGuest],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    how: str,
) -> None:
    """It gives what libvirt knows; what only the host itself can tell is not there."""
    uri: str = request.getfixturevalue(how)
    with collector(tmp_path, uri, entering=libvirtd.entering) as made:
        found = made.until(lambda now: {vm.sample.cpu is not None for vm in now.vms} == {True})
        assert {vm.sample.uuid for vm in found.vms} == {guest.uuid for guest in guests}
        for vm in found.vms:
            assert vm.sample.pid is None
            assert vm.sample.memory is not None
            assert vm.sample.cpu is not None
            assert (vm.sample.cpu.guest_ns, vm.sample.cpu.vcpus[0].thread_id) == (None, None)
        (host,) = made.until(lambda now: bool(now.hosts)).hosts
        assert (host.local, host.ksm, host.pressure, host.load) == (False, None, None, None)
        assert host.memory.total_bytes > 0
        assert host.hypervisor_type == "QEMU"
        # An ssh client is no descriptor of another's, and ends with it.
        assert made.stop() == 0
        assert made.process.returncode == 0


def test_several_connections(
    libvirtd: LibvirtHost, guests: tuple[LibvirtGuest, LibvirtGuest], tmp_path: Path
) -> None:
    """Each by itself: one that cannot be had is told, and takes nothing from the others."""
    absent = f"qemu+unix:///system?socket={tmp_path}/none"
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(collector(tmp_path, absent, libvirtd.read_only_uri, _TEST))
        found = made.until(lambda now: len(now.vms) == len(guests) + 1)
        by_uri = {one.uri: one for one in found.collector.connections}
        assert [by_uri[uri].connected for uri in (absent, libvirtd.read_only_uri, _TEST)] == [
            False,
            True,
            True,
        ]
        assert f"{tmp_path}/none" in (by_uri[absent].error or "")
        (own,) = (vm for vm in found.vms if vm.sample.uri == _TEST)
        assert own.sample.name == "test"
        assert own.sample.active
