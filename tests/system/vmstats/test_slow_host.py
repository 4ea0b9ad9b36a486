# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirtd that lists its domains at once, and is long in telling of its host: it has to ask each
QEMU that is new to it what it can do, and one of them is slow to start.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.libvirt_halted import Halted, halted_domain
from tests.support.libvirt_host import CACHE, LibvirtHost, libvirt_host
from tests.support.users import as_root
from tests.support.vmstats_process import collector

# libvirt's capabilities tell of each QEMU that is installed, also of one that no domain uses.
_OTHER: Final = "/usr/bin/qemu-system-i386"


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """A path: as long as there is a file, that QEMU does not start."""
    return tmp_path / "waiting"


@pytest.fixture
def slow(waiting: Path, tmp_path: Path) -> Iterator[tuple[LibvirtHost, Halted]]:
    """A libvirtd with a domain that runs, and a QEMU that was upgraded since."""
    cache, real, wrapper = (tmp_path / name for name in ("cache", "real", "wrapper"))
    real.touch()
    wrapper.write_text(f'#!/bin/sh\nwhile [ -e {waiting} ]; do sleep 0.2; done\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    with libvirt_host() as host:
        shutil.copytree(CACHE, cache)
        for source, target in (
            (str(cache), "/var/cache/libvirt"),
            (_OTHER, str(real)),
            (str(wrapper), _OTHER),
        ):
            host.inside("mount", "--bind", source, target)
        with halted_domain(host, "one") as domain:
            waiting.touch()
            # libvirt asks a program anew that has changed.
            wrapper.touch()
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
