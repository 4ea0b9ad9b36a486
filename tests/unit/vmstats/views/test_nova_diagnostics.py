# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's diagnostics, flat and since 2.48, against the samples that Nova publishes.

openstack/nova 00a03040, doc/api_samples/os-server-diagnostics/server-diagnostics-get-resp.json and
v2.48/server-diagnostics-get-resp.json; what the fields mean: api-ref/source/parameters.yaml.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvmlog.vmstats.definition import Disk
from kvmlog.vmstats.sample import State, Vcpu
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views import nova_diagnostics, nova_diagnostics_248
from kvmlog.vmstats.views.errors import NotRunningError
from tests.support import vmstats_samples as examples
from tests.support.vmstats_samples import MIB, NOW, at

# What both published samples were made of.
PUBLISHED: dict[str, Any] = {
    "read_bytes": 262_144,
    "read_requests": 112,
    "write_bytes": 5_778_432,
    "write_requests": 488,
}


def one_of_each(**changed: Any) -> Vm:
    """A VM with a virtual CPU, a disk and an interface, with the figures of the samples."""
    cpu = examples.cpu(
        vcpus=(Vcpu(0, "running", 17_300_000_000, wait_ns=None, delay_ns=None, halted=None),)
    )
    values: dict[str, Any] = {
        "definition": examples.definition(vcpus=1, disks=examples.disks()[:1]),
        "cpu": cpu,
        "memory": None,
        "blocks": (examples.block(**PUBLISHED, io_errors=None),),
        "interfaces": (examples.interface(rx_errors=0, rx_drops=0, tx_errors=0, tx_drops=0),),
    }
    return examples.vm(**{**values, **changed})


def test_flat_is_as_published() -> None:
    """All keys but that of the errors, which nobody counts: -1 in Nova's."""
    definition = examples.definition(
        disks=examples.disks()[:1],
        maximum_memory_bytes=524_288 << 10,
        nics=(replace(examples.nics()[0], target="vnet1"),),
    )
    nic = examples.interface(target="vnet1", rx_errors=0, rx_drops=0, tx_errors=0, tx_drops=0)
    vm = one_of_each(definition=definition, interfaces=(nic,))
    assert nova_diagnostics.document(vm, NOW) == {
        "cpu0_time": 17300000000,
        "memory": 524288,
        "vda_read": 262144,
        "vda_read_req": 112,
        "vda_write": 5778432,
        "vda_write_req": 488,
        "vnet1_rx": 2070139,
        "vnet1_rx_drop": 0,
        "vnet1_rx_errors": 0,
        "vnet1_rx_packets": 26701,
        "vnet1_tx": 140208,
        "vnet1_tx_drop": 0,
        "vnet1_tx_errors": 0,
        "vnet1_tx_packets": 662,
    }


def test_flat_has_each_figure_under_its_own_key() -> None:
    """No two figures of the example are equal; memory statistics keep libvirt's names and KiB."""
    assert nova_diagnostics.document(examples.vm(), NOW) == {
        "cpu0_time": 60_000_000_005,
        "cpu1_time": 30_000_000_011,
        "vda_read": 10_000_001,
        "vda_read_req": 1_002,
        "vda_write": 40_000_004,
        "vda_write_req": 5_005,
        "vda_errors": 9,
        "vdb_read": 20_000_021,
        "vdb_read_req": 2_022,
        "vdb_write": 50_000_024,
        "vdb_write_req": 6_025,
        "vnet3_rx": 2_070_139,
        "vnet3_rx_packets": 26_701,
        "vnet3_rx_errors": 1,
        "vnet3_rx_drop": 2,
        "vnet3_tx": 140_208,
        "vnet3_tx_packets": 662,
        "vnet3_tx_errors": 3,
        "vnet3_tx_drop": 4,
        "memory": 4096 << 10,
        "memory-actual": 3072 << 10,
        "memory-rss": 2500 << 10,
        "memory-available": 3000 << 10,
        "memory-unused": 900 << 10,
        "memory-usable": 1200 << 10,
        "memory-disk_caches": 400 << 10,
        "memory-swap_in": 11 << 10,
        "memory-swap_out": 22 << 10,
        "memory-major_fault": 333,
        "memory-minor_fault": 4444,
        "memory-hugetlb_pgalloc": 55,
        "memory-hugetlb_pgfail": 6,
        "memory-last_update": 1_795_203_962 + 994,
    }


def test_248_is_as_published() -> None:
    """The published sample but for the host's system, which is Linux with KVM.

    Its memory is in MiB, as the API reference says, and what is used is what the guest uses.
    """
    rates = examples.rates()
    assert rates.cpu is not None
    vm = one_of_each(
        definition=examples.definition(
            vcpus=1,
            maximum_memory_bytes=524_288 * MIB,
            disks=(
                examples.disks()[0],
                replace(
                    examples.disks()[2],
                    source="/var/lib/nova/instances/2b6a0c3e/disk.config",
                ),
            ),
            nics=(replace(examples.nics()[0], mac="01:23:45:67:89:AB"),),
        ),
        memory=examples.memory(maximum_bytes=None, usable_bytes=3000 * MIB),
        blocks=(examples.block(**PUBLISHED, io_errors=1),),
        interfaces=(
            examples.interface(
                mac="01:23:45:67:89:ab", rx_drops=200, rx_errors=100, tx_drops=500, tx_errors=400
            ),
        ),
        started=at(1004 - 46664),
    )
    vm = replace(
        vm,
        rates=replace(
            rates,
            cpu=replace(rates.cpu, vcpus=(replace(rates.cpu.vcpus[0], percent=14.6),)),
            interfaces=(
                examples.interface_rates(
                    key="01:23:45:67:89:ab", rx_bytes_per_s=300.4, tx_bytes_per_s=599.6
                ),
            ),
        ),
    )
    assert nova_diagnostics_248.document(vm, NOW) == {
        "config_drive": True,
        "cpu_details": [{"id": 0, "time": 17300000000, "utilisation": 15}],
        "disk_details": [
            {
                "errors_count": 1,
                "read_bytes": 262144,
                "read_requests": 112,
                "write_bytes": 5778432,
                "write_requests": 488,
            }
        ],
        "driver": "libvirt",
        "hypervisor": "kvm",
        "hypervisor_os": "linux",
        "memory_details": {"maximum": 524288, "used": 0},
        "nic_details": [
            {
                "mac_address": "01:23:45:67:89:ab",
                "rx_drop": 200,
                "rx_errors": 100,
                "rx_octets": 2070139,
                "rx_packets": 26701,
                "rx_rate": 300,
                "tx_drop": 500,
                "tx_errors": 400,
                "tx_octets": 140208,
                "tx_packets": 662,
                "tx_rate": 600,
            }
        ],
        "num_cpus": 1,
        "num_disks": 1,
        "num_nics": 1,
        "state": "running",
        "uptime": 46664,
    }


def test_248_counts_the_devices_whose_figures_are_unknown() -> None:
    """The lists are those of the definition, each field of theirs null."""
    vm = examples.vm(cpu=None, memory=None, blocks=None, interfaces=None, started=None, pid=None)
    definition = examples.definition(kind="qemu")
    vm = replace(vm, rates=None, sample=replace(vm.sample, definition=definition))
    document = nova_diagnostics_248.document(vm, NOW)
    assert (document["num_cpus"], document["num_disks"], document["num_nics"]) == (2, 2, 1)
    assert document["cpu_details"] == [
        {"id": number, "time": None, "utilisation": None} for number in (0, 1)
    ]
    assert document["nic_details"][0].pop("mac_address") == examples.MAC
    assert set(document["nic_details"][0].values()) == {None}
    assert set(document["disk_details"][0].values()) == {None}
    assert document["memory_details"] == {"maximum": 4096, "used": None}
    assert (document["uptime"], document["hypervisor_os"]) == (None, None)


@pytest.mark.parametrize("view", [nova_diagnostics, nova_diagnostics_248])
@pytest.mark.parametrize(
    ("state", "name"),
    [
        (State.SHUTOFF, "shutdown"),
        (State.PAUSED, "paused"),
        (State.SHUTDOWN, "shutdown"),
        (State.CRASHED, "crashed"),
        (State.PMSUSPENDED, "suspended"),
        (State.NOSTATE, "pending"),
    ],
)
def test_a_vm_that_does_not_run_is_refused(view: Any, state: State, name: str) -> None:
    """As nova.compute.manager does, which answers for power state RUNNING only."""
    with pytest.raises(NotRunningError, match=f"^web1: its state is {name}, .*start it"):
        view.document(examples.vm(state=state), NOW)
    assert view.document(examples.vm(state=State.BLOCKED), NOW)


def test_drives_and_interfaces_without_a_device() -> None:
    """A CD-ROM, a floppy and an interface of SR-IOV: none has keys, the last is in 2.48's list."""
    floppy = Disk("fda", "floppy", "fdc", None, "/f.img", "file", "raw", read_only=False)
    definition = examples.definition(
        disks=(*examples.disks()[1:], floppy),
        nics=(replace(examples.nics()[0], kind="hostdev", target=None),),
    )
    blocks = (*examples.blocks()[1:], examples.block(target="fda"))
    vm = examples.vm(definition=definition, blocks=blocks, interfaces=())
    keys = nova_diagnostics.document(vm, NOW)
    assert [key for key in keys if key.startswith(("sda", "fda", "vnet", "None"))] == []
    document = nova_diagnostics_248.document(vm, NOW)
    assert [nic["mac_address"] for nic in document["nic_details"]] == [examples.MAC]
    assert [disk["read_bytes"] for disk in document["disk_details"]] == [20_000_021]
