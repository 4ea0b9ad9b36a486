# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM's disks and interfaces, each with its definition, figures and rates side by side.

A device that has no figures is there with all of them None, so that views need not ask for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from kvmlog.vmstats.definition import Disk, Nic
from kvmlog.vmstats.rates import BlockRates, InterfaceRates
from kvmlog.vmstats.sample import Block, Interface
from kvmlog.vmstats.snapshot import Vm


@dataclass(frozen=True)
class VmDisk:
    """One disk that engines count: no CD-ROM and no floppy drive."""

    target: str
    disk: Disk | None  # None: attached since the definition was read
    block: Block
    rates: BlockRates


@dataclass(frozen=True)
class VmNic:
    """One network interface."""

    key: str  # unique within the domain: MAC, else alias or target
    mac: str | None
    target: str | None  # the host's device
    nic: Nic | None
    interface: Interface
    rates: InterfaceRates


def disks(vm: Vm) -> list[VmDisk]:
    """Return the disks in the order of the XML, then those that only the figures have."""
    defined = {disk.target: disk for disk in vm.sample.definition.disks}
    blocks = {block.target: block for block in vm.sample.blocks or ()}
    rates = {one.target: one for one in (vm.rates and vm.rates.blocks) or ()}
    return [
        VmDisk(
            target=target,
            disk=defined.get(target),
            block=blocks.get(target) or _unknown(Block, target=target),
            rates=rates.get(target) or _unknown(BlockRates, target=target),
        )
        for target in dict.fromkeys((*defined, *blocks))
        if target not in defined or defined[target].counts
    ]


def nics(vm: Vm) -> list[VmNic]:
    """Return the interfaces in the order of the XML, then those that only the figures have."""
    found: list[VmNic] = []
    keys: Counter[str] = Counter()
    for nic, interface in _pairs(vm):
        key = interface.key
        keys[key] += 1
        found.append(
            VmNic(
                # Nothing keeps a domain from having a MAC twice.
                key=key if keys[key] == 1 else f"{key}#{keys[key]}",
                mac=interface.mac,
                target=interface.target,
                nic=nic,
                interface=interface,
                rates=_nth_rates(vm, key, keys[key] - 1),
            )
        )
    return found


def _pairs(vm: Vm) -> Iterator[tuple[Nic | None, Interface]]:
    left = list(vm.sample.interfaces or ())
    for nic in vm.sample.definition.nics:
        interface = next((one for one in left if _same(nic, one)), None)
        if interface is None:
            mac = nic.mac and nic.mac.lower()
            interface = _unknown(Interface, mac=mac, target=nic.target, alias=nic.alias)
        else:
            left.remove(interface)
        yield nic, interface
    for interface in left:
        yield None, interface


def _same(nic: Nic, interface: Interface) -> bool:
    if nic.alias is not None and interface.alias is not None:
        return nic.alias == interface.alias
    if nic.mac is not None and interface.mac is not None:
        return nic.mac.lower() == interface.mac.lower()
    return nic.target is not None and nic.target == interface.target


def _nth_rates(vm: Vm, key: str, index: int) -> InterfaceRates:
    rates = [one for one in (vm.rates and vm.rates.interfaces) or () if one.key == key]
    return rates[index] if index < len(rates) else _unknown(InterfaceRates, key=key)


def _unknown(kind: type[Any], **given: str | None) -> Any:
    return kind(**{field.name: given.get(field.name) for field in fields(kind)})
