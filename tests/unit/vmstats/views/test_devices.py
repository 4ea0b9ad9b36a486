# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices with their definition, figures and rates side by side, whatever of these is missing."""

from __future__ import annotations

from dataclasses import replace

from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.devices import disks, nics
from tests.support import vmstats_samples as examples
from tests.support.vmstats_samples import MAC


def with_nics(*found: tuple[str | None, str | None, str | None]) -> Vm:
    """A VM with interfaces of MAC, device and alias each, defined and counted."""
    defined = [
        replace(examples.nics()[0], mac=mac and mac.upper(), target=target, alias=alias)
        for mac, target, alias in found
    ]
    counted = [
        examples.interface(
            mac=mac,
            target=target,
            alias=alias,
            rx_bytes=number,
            mac_shared=[one[0] for one in found].count(mac) > 1,
        )
        for number, (mac, target, alias) in enumerate(found)
    ]
    definition = examples.definition(nics=tuple(defined))
    return examples.vm(definition=definition, interfaces=tuple(counted))


def test_equal_macs_have_keys_of_their_own() -> None:
    """Nothing is lost in a map by MAC, and each has its own figures and rates."""
    vm = with_nics((MAC, "vnet1", "net0"), (MAC, "vnet2", "net1"))
    rates = (
        examples.interface_rates(key=f"{MAC}/net0", rx_bytes_per_s=1.0),
        examples.interface_rates(key=f"{MAC}/net1", rx_bytes_per_s=2.0),
    )
    vm = replace(vm, rates=examples.rates(interfaces=rates))
    assert [(nic.key, nic.interface.rx_bytes, nic.rates.rx_bytes_per_s) for nic in nics(vm)] == [
        (f"{MAC}/net0", 0, 1.0),
        (f"{MAC}/net1", 1, 2.0),
    ]
    unknown = replace(vm, sample=replace(vm.sample, interfaces=None))
    assert [nic.key for nic in nics(unknown)] == [f"{MAC}/net0", f"{MAC}/net1"]


def test_an_interface_is_found_by_alias_mac_or_device() -> None:
    """In the order of the definition, however libvirt counted them."""
    vm = with_nics((MAC, "vnet1", None), (None, None, "hostdev0"), (None, "vnet2", None))
    assert vm.sample.interfaces is not None
    swapped = replace(vm.sample, interfaces=vm.sample.interfaces[::-1])
    found = nics(replace(vm, sample=swapped))
    assert [nic.key for nic in found] == [MAC, "hostdev0", "vnet2"]
    assert [nic.interface.rx_bytes for nic in found] == [0, 1, 2]


def test_an_interface_that_is_not_defined_yet() -> None:
    """Attached since the definition was read: its figures are there."""
    vm = examples.vm(definition=examples.definition(nics=()))
    assert [(nic.nic, nic.key) for nic in nics(vm)] == [(None, MAC)]


def test_a_disk_that_is_not_defined_yet() -> None:
    """It may be a CD-ROM, so nobody counts it before the definition says that it is none."""
    vm = examples.vm(definition=examples.definition(disks=examples.disks()[:1]))
    assert [disk.target for disk in disks(vm)] == ["vda"]


def test_without_figures() -> None:
    """The devices are there with all figures unknown."""
    vm = examples.vm(blocks=None, interfaces=None)
    assert [disk.block.read_bytes for disk in disks(vm)] == [None, None]
    assert [nic.interface.rx_bytes for nic in nics(vm)] == [None]
