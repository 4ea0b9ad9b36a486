# SPDX-License-Identifier: GPL-2.0-or-later
"""Use and exits of a domain that KVM runs, side by side: collector, bridge and `kvmlog vms`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from kvmlog.util.errors import VmStatsMissingError
from kvmlog.vmstats.reader import SnapshotReader
from kvmlog.vmstats.sample import Vcpu
from kvmlog.vmstats.snapshot import Vm
from tests.vm.inside import libvirt, sources
from tests.vm.inside.payload import Orders
from tests.vm.inside.processes import Bridge, Process, ended, folder, kvmlog, until

pytestmark = [sources.only(sources.KMOD), pytest.mark.usefixtures("libvirt_daemon")]

UUID: Final = "6f0b4f7e-0e4d-4b7c-8d62-3c1f0a9b7d21"
INTERVAL_S: Final = 1
VCPUS: Final = 2


@pytest.fixture
def file() -> Iterator[Path]:
    """The file of a collector that polls each second."""
    with folder() as place:
        place.mkdir()
        file = place / "vms.json"
        options = ("--interval", str(INTERVAL_S), "--budget", "0", "--user", "root")
        log = place.with_name("vmstats.log")
        with ended(Process(log, "vmstats", "--vmstats-file", file, *options)):
            yield file


def found(file: Path) -> Vm | None:
    """The domain, once each of its CPUs has been in the guest when a tick of the kernel came."""
    try:
        vms = SnapshotReader(str(file)).read().vms
    except VmStatsMissingError:
        return None
    for vm in vms:
        vcpus = vm.sample.cpu.vcpus if vm.rates and vm.sample.cpu else ()
        if len(vcpus) == VCPUS and all(map(split, vcpus)):
            return vm
    return None


def test_use_and_exits_of_one_vm_are_side_by_side(running_bridge: Bridge, file: Path) -> None:
    """Same UUID, process and threads; the time within the guest is told from the VMM's."""
    with libvirt.domain("db-1", Orders("cpuid"), uuid=UUID, vcpus=VCPUS) as domain:
        running_bridge.client.switch(True)
        until(lambda: found(file) is not None, "the domain's rates, with time in the guest")
        vm = found(file)
        assert vm is not None
        sample = vm.sample
        assert (sample.uuid, sample.pid, sample.definition.kind) == (UUID, domain.pid, "kvm")
        assert sample.cpu is not None
        assert {vcpu.thread_id for vcpu in sample.cpu.vcpus} == set(domain.vcpu_tids)
        assert sample.cpu.guest_ns == sum(vcpu.guest_ns or 0 for vcpu in sample.cpu.vcpus)
        (row,) = vms(running_bridge, file, "--vm", "db-1")
        assert (row["uuid"], row["pid"], row["exit_reason"]) == (UUID, domain.pid, "cpuid")
        assert row["exits_per_s"] > 0
        assert row["cpu_guest_percent"] > 0
        running_bridge.client.switch(False)
        (row,) = vms(running_bridge, file, "--vm", str(domain.pid))
        assert (row["exits_per_s"], row["exit_reason"]) == (None, None)
        assert row["cpu_percent_of_one_cpu"] > 0


def split(vcpu: Vcpu) -> bool:
    """It was within the guest, and in the kernel for its exits."""
    return bool(vcpu.guest_ns) and bool(vcpu.system_ns) and vcpu.user_ns is not None


def vms(bridge: Bridge, file: Path, *options: str) -> list[dict[str, Any]]:
    """What `kvmlog vms` prints of one interval."""
    places = ("--ring", bridge.ring, "--switch", bridge.switch, "--vmstats-file", file)
    done = kvmlog("vms", "--json", *options, *places)
    rows: list[dict[str, Any]] = json.loads(done.stdout)["vms"]
    return rows
