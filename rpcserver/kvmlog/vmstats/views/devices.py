# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM's disks and interfaces, each with its definition, figures and rates side by side.

A device that has no figures is there with all of them None, so that views need not ask for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from kvmlog.vmstats.definition import Disk, Nic
from kvmlog.vmstats.rates import BlockRates, InterfaceRates
from kvmlog.vmstats.sample import Block, Interface
from kvmlog.vmstats.snapshot import Vm


@dataclass(frozen=True)
class VmDisk:
    """One disk that engines count: no CD-ROM and no floppy drive."""

    disk: Disk
    block: Block
    rates: BlockRates

    @property
    def target(self) -> str:
        """Return its name: vda."""
        return self.disk.target


@dataclass(frozen=True)
class VmNic:
    """One network interface."""

    key: str  # Interface.key
    mac: str | None
    target: str | None  # the host's device
    nic: Nic | None
    interface: Interface
    rates: InterfaceRates


def disks(vm: Vm) -> list[VmDisk]:
    """Return the disks of the XML, which alone tells them from CD-ROM and floppy drives."""
    blocks = {block.target: block for block in vm.sample.blocks or ()}
    rates = {one.target: one for one in (vm.rates and vm.rates.blocks) or ()}
    return [
        VmDisk(
            disk=disk,
            block=blocks.get(disk.target) or _unknown(Block, target=disk.target),
            rates=rates.get(disk.target) or _unknown(BlockRates, target=disk.target),
        )
        for disk in vm.sample.definition.disks
        if disk.counts
    ]


def nics(vm: Vm) -> list[VmNic]:
    """Return the interfaces in the order of the XML, then those that only the figures have."""
    rates = {one.key: one for one in (vm.rates and vm.rates.interfaces) or ()}
    return [
        VmNic(
            key=interface.key,
            mac=interface.mac,
            target=interface.target,
            nic=nic,
            interface=interface,
            rates=rates.get(interface.key) or _unknown(InterfaceRates, key=interface.key),
        )
        for nic, interface in _pairs(vm)
    ]


def _pairs(vm: Vm) -> Iterator[tuple[Nic | None, Interface]]:
    defined = vm.sample.definition.nics
    macs = Counter(_mac(nic) for nic in defined)
    left = list(vm.sample.interfaces or ())
    for nic in defined:
        interface = next((one for one in left if _same(nic, one)), None)
        if interface is None:
            unknown: Interface = _unknown(
                Interface, mac=_mac(nic), target=nic.target, alias=nic.alias
            )
            yield nic, replace(unknown, mac_shared=macs[_mac(nic)] > 1)
        else:
            left.remove(interface)
            yield nic, interface
    for interface in left:
        yield None, interface


def _mac(nic: Nic) -> str | None:
    return nic.mac and nic.mac.lower()


def _same(nic: Nic, interface: Interface) -> bool:
    if nic.alias is not None and interface.alias is not None:
        return nic.alias == interface.alias
    if nic.mac is not None and interface.mac is not None:
        return _mac(nic) == interface.mac
    return nic.target is not None and nic.target == interface.target


def _unknown(kind: type[Any], **given: str | None) -> Any:
    return kind(**{field.name: given.get(field.name) for field in fields(kind)})
