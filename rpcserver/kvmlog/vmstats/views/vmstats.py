# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own sample of a VM: all figures, in base units that their names tell, by groups.

Figures that are not known are left out; `absent` says why, where there is a reason to tell. The
fields of the groups are those of the model (kvmlog.vmstats.sample, rates, definition).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.devices import disks, nics
from kvmlog.vmstats.views.errors import UnknownGroupError
from kvmlog.vmstats.views.figures import figures
from kvmlog.vmstats.views.units import iso, known, seconds_between

# The collector's names of groups, in those of this document.
_ABSENT: Final = {"blocks": "disk", "interfaces": "network"}


def document(vm: Vm, now: Moment, groups: Collection[str] | None = None) -> dict[str, Any]:
    """Return the sample with these groups, all by default; UnknownGroupError for another word."""
    wanted = _checked(GROUPS if groups is None else groups)
    sample = vm.sample
    found = {name: make(vm, now) for name, make in GROUPS.items() if name in wanted}
    absent = [
        known({"group": group, "reason": absence.reason, "age_s": _older(absence.age_s, vm, now)})
        for absence in sample.absent
        if (group := _ABSENT.get(absence.group, absence.group)) in wanted
    ]
    return known(
        {
            "uuid": sample.uuid,
            "name": sample.name,
            "uri": sample.uri,
            "domain_id": sample.domain_id,
            "pid": sample.pid,
            "generation": sample.generation,
            "taken": iso(sample.taken),
            "age_s": vm.age_s(now),
            "timed_out": sample.timed_out,
            **found,
            "absent": absent,
        }
    )


def _checked(groups: Collection[str]) -> set[str]:
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise UnknownGroupError(
            f"{clean(unknown[0])}: no such group of figures; give {', '.join(GROUPS)}"
        )
    return set(groups)


def _older(age_s: float | None, vm: Vm, now: Moment) -> float | None:
    return None if age_s is None else age_s + vm.age_s(now)


def _state(vm: Vm, now: Moment) -> dict[str, Any]:
    sample = vm.sample
    return known(
        {
            "name": sample.state.name.lower(),
            "number": int(sample.state),
            "reason": sample.state_reason,
            "since": sample.state_since and iso(sample.state_since),
            "started": sample.started and iso(sample.started),
            "uptime_s": sample.started and seconds_between(sample.started, now),
        }
    )


def _cpu(vm: Vm, now: Moment) -> dict[str, Any] | None:
    cpu = vm.sample.cpu
    return None if cpu is None else _aged(figures(cpu), cpu.taken, now)


def _memory(vm: Vm, now: Moment) -> dict[str, Any] | None:
    memory = vm.sample.memory
    if memory is None:
        return None
    group = _aged(figures(memory), memory.taken, now)
    updated_ns = group.pop("guest_updated_realtime_ns", None)
    if updated_ns is not None:
        # By the clock that can be set: the guest's driver tells no other time.
        group["guest_age_s"] = max(0, now.realtime_ns - updated_ns) / 1e9
    return known({**group, "used_bytes": memory.used_bytes})


def _disk(vm: Vm, now: Moment) -> dict[str, Any] | None:
    if vm.sample.blocks is None:
        return None
    told = {block.target for block in vm.sample.blocks}
    devices = [figures(disk.block) for disk in disks(vm) if disk.target in told]
    return _aged({"devices": devices}, vm.sample.blocks_taken, now)


def _network(vm: Vm, now: Moment) -> dict[str, Any] | None:
    if vm.sample.interfaces is None:
        return None
    told = set(vm.sample.interfaces)
    devices = [
        {"key": nic.key, **figures(nic.interface)} for nic in nics(vm) if nic.interface in told
    ]
    for device in devices:
        del device["mac_shared"]  # the key tells
    return _aged({"devices": devices}, vm.sample.interfaces_taken, now)


def _aged(group: dict[str, Any], taken: Moment | None, now: Moment) -> dict[str, Any]:
    """Return the group with its age in place of its time."""
    group.pop("taken", None)
    return group if taken is None else {"age_s": seconds_between(taken, now), **group}


def _definition(vm: Vm, now: Moment) -> dict[str, Any]:
    return figures(vm.sample.definition)


def _rates(vm: Vm, now: Moment) -> dict[str, Any] | None:
    if vm.rates is None:
        return None
    rates = figures(vm.rates)
    blocks, interfaces = rates.pop("blocks", None), rates.pop("interfaces", None)
    if blocks is not None:
        counted = {disk.target for disk in disks(vm)}
        rates["disk"] = [one for one in blocks if one["target"] in counted]
    if interfaces is not None:
        rates["network"] = interfaces
    return {**rates, "interval_s": vm.rates.interval_ns / 1e9}


def _accumulated(vm: Vm, now: Moment) -> dict[str, Any]:
    return figures(vm.accumulated)


GROUPS: Final[dict[str, Callable[[Vm, Moment], dict[str, Any] | None]]] = {
    "state": _state,
    "cpu": _cpu,
    "memory": _memory,
    "disk": _disk,
    "network": _network,
    "definition": _definition,
    "rates": _rates,
    "accumulated": _accumulated,
}
