# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirtd that lists its domains at once, and is long in telling of its host: its cache of what
QEMU can do is empty, as on a host that was just installed, and QEMU is slow to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.libvirt_halted import Halted, halted_domain
from tests.support.libvirt_host import LibvirtHost, libvirt_host
from tests.support.users import as_root
from tests.support.vmstats_process import collector

_QEMUS: Final = tuple(Path("/usr/bin").glob("qemu-system-*"))


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """A file: as long as it is there, no QEMU starts."""
    path = tmp_path / "waiting"
    path.touch()
    return path


@pytest.fixture
def slow(waiting: Path, tmp_path: Path) -> Iterator[tuple[LibvirtHost, Halted]]:
    """A libvirtd without a cache, with a domain that ran before."""
    real = tmp_path / "real"
    real.mkdir()
    with libvirt_host() as host, halted_domain(host, "one") as domain:
        host.stop_daemon()
        empty = tmp_path / "cache"
        empty.mkdir()
        host.inside("mount", "--bind", str(empty), "/var/cache/libvirt")
        for qemu in _QEMUS:
            (real / qemu.name).touch()
            host.inside("mount", "--bind", str(qemu.resolve()), str(real / qemu.name))
        for qemu in _QEMUS:
            wrapper = tmp_path / qemu.name
            wrapper.write_text(
                f"#!/bin/sh\nwhile [ -e {waiting} ]; do sleep 0.2; done\n"
                f'exec {real / qemu.name} "$@"\n'
            )
            wrapper.chmod(0o755)
            host.inside("mount", "--bind", str(wrapper), str(qemu))
        host.start_daemon()
        yield host, domain
        waiting.unlink(missing_ok=True)


@as_root
def test_vms_are_there_before_their_host(
    slow: tuple[LibvirtHost, Halted], waiting: Path, tmp_path: Path
) -> None:
    """With rates, but without a share of the host; the host is there once libvirt has told."""
    host, domain = slow
    with collector(tmp_path, host.read_only_uri) as running:
        running.until(lambda now: now.collector.connections[0].polls >= 4)
        vm = running.fresh(domain.name)
        assert vm.rates is not None
        assert vm.rates.cpu is not None
        assert vm.rates.cpu.percent_of_one_cpu is not None
        assert vm.rates.cpu.percent_of_host is None
        now = running.snapshot()
        assert now.hosts == ()
        assert now.collector.connections[0].connected
        waiting.unlink()
        found = running.until(lambda now: bool(now.hosts)).hosts[0]
        assert found.uuid is not None
        assert found.hypervisor_version is not None
        running.until_vm(
            domain.name,
            lambda vm: bool(vm.rates and vm.rates.cpu and vm.rates.cpu.percent_of_host is not None),
        )
