# SPDX-License-Identifier: GPL-2.0-or-later
"""Ceilometer's samples of VMs, a meter each.

What is not known has no sample. Delta meters tell the growth since the caller's poll before: a
cursor, which its previous call gave, holds the counters that it was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Cpu, Memory
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.devices import VmDisk, VmNic, disks, nics
from kvmlog.vmstats.views.units import MIB, iso, known, total


@dataclass(frozen=True)
class Told:
    """What a caller was told of one interface."""

    domain_id: int | None
    rx_bytes: int | None
    tx_bytes: int | None

    @property
    def unknown(self) -> bool:
        """Return whether it tells nothing."""
        return self.rx_bytes is None and self.tx_bytes is None


# By connection (a VM that migrates is on two), UUID and the interface's key. Only interfaces that
# exist stay in it.
Cursor = Mapping[tuple[str, str, str], Told]


@dataclass(frozen=True)
class _Meter:
    name: str
    kind: str  # gauge, cumulative, delta
    unit: str


def _gauge(name: str, unit: str) -> _Meter:
    return _Meter(name, "gauge", unit)


def _cumulative(name: str, unit: str) -> _Meter:
    return _Meter(name, "cumulative", unit)


_CPU: Final = _cumulative("cpu", "ns")
_VCPUS: Final = _gauge("vcpus", "vcpu")
_POWER_STATE: Final = _gauge("power.state", "")
_MEMORY: Final[tuple[tuple[_Meter, Callable[[Memory], int | None]], ...]] = (
    (_gauge("memory", "MiB"), lambda memory: memory.actual_bytes),
    (_gauge("memory.available", "MiB"), lambda memory: memory.available_bytes),
    (_gauge("memory.usage", "MiB"), lambda memory: memory.used_bytes),
    (_gauge("memory.resident", "MiB"), lambda memory: memory.rss_bytes),
    (_cumulative("memory.swap.in", "MiB"), lambda memory: memory.swap_in_bytes),
    (_cumulative("memory.swap.out", "MiB"), lambda memory: memory.swap_out_bytes),
)
_DISK: Final[tuple[tuple[_Meter, Callable[[VmDisk], int | None]], ...]] = (
    (_cumulative("disk.device.read.bytes", "B"), lambda disk: disk.block.read_bytes),
    (_cumulative("disk.device.read.requests", "request"), lambda disk: disk.block.read_requests),
    (_cumulative("disk.device.read.latency", "ns"), lambda disk: disk.block.read_time_ns),
    (_cumulative("disk.device.write.bytes", "B"), lambda disk: disk.block.write_bytes),
    (_cumulative("disk.device.write.requests", "request"), lambda disk: disk.block.write_requests),
    (_cumulative("disk.device.write.latency", "ns"), lambda disk: disk.block.write_time_ns),
    (_gauge("disk.device.capacity", "B"), lambda disk: disk.block.capacity_bytes),
    (_gauge("disk.device.allocation", "B"), lambda disk: disk.block.allocation_bytes),
    (_gauge("disk.device.usage", "B"), lambda disk: disk.block.physical_bytes),
)
_NETWORK: Final[tuple[tuple[_Meter, Callable[[VmNic], int | None]], ...]] = (
    (_cumulative("network.incoming.bytes", "B"), lambda nic: nic.interface.rx_bytes),
    (_cumulative("network.incoming.packets", "packet"), lambda nic: nic.interface.rx_packets),
    (_cumulative("network.incoming.packets.drop", "packet"), lambda nic: nic.interface.rx_drops),
    (_cumulative("network.incoming.packets.error", "packet"), lambda nic: nic.interface.rx_errors),
    (_cumulative("network.outgoing.bytes", "B"), lambda nic: nic.interface.tx_bytes),
    (_cumulative("network.outgoing.packets", "packet"), lambda nic: nic.interface.tx_packets),
    (_cumulative("network.outgoing.packets.drop", "packet"), lambda nic: nic.interface.tx_drops),
    (_cumulative("network.outgoing.packets.error", "packet"), lambda nic: nic.interface.tx_errors),
)
_RX_DELTA: Final = _Meter("network.incoming.bytes.delta", "delta", "B")
_TX_DELTA: Final = _Meter("network.outgoing.bytes.delta", "delta", "B")
_ROOT_SIZE: Final = _gauge("disk.root.size", "GiB")
_EPHEMERAL_SIZE: Final = _gauge("disk.ephemeral.size", "GiB")


def samples(vms: Iterable[Vm], cursor: Cursor, now: Moment) -> tuple[list[dict[str, Any]], Cursor]:
    """Return the samples of all VMs that run, and the next cursor.

    A delta is 0 the first time, and the counter's value where it began anew.
    """
    found: list[dict[str, Any]] = []
    told: dict[tuple[str, str, str], Told] = {}
    for vm in vms:
        found += _gauges_and_counters(vm)
        for nic in nics(vm):
            key = (vm.sample.uri, vm.sample.uuid, nic.key)
            before = cursor.get(key)
            after = Told(vm.sample.domain_id, nic.interface.rx_bytes, nic.interface.tx_bytes)
            if vm.sample.active and not after.unknown:
                found += _deltas(vm, nic, before, after)
                told[key] = after
            elif before is not None:
                told[key] = before
    return found, told


def _gauges_and_counters(vm: Vm) -> Iterator[dict[str, Any]]:
    sample = vm.sample
    if not sample.active:
        return
    yield from _one(vm, _POWER_STATE, int(sample.state), sample.taken)
    yield from _one(vm, _VCPUS, sample.definition.vcpus, sample.taken)
    if sample.cpu is not None:
        time_ns = _cpu_time_ns(sample.cpu, sample.definition.vcpus)
        more = {"cpu_number": sample.definition.vcpus}
        yield from _one(vm, _CPU, time_ns, sample.cpu.taken, more=more)
    if sample.memory is not None:
        for meter, figure in _MEMORY:
            value = figure(sample.memory)
            mib = None if value is None else value / MIB
            yield from _one(vm, meter, mib, sample.memory.taken)
    for disk in disks(vm):
        for meter, of_disk in _DISK:
            yield from _one(
                vm,
                meter,
                of_disk(disk),
                sample.blocks_taken or sample.taken,
                suffix=disk.target,
                more={"disk_name": disk.target},
            )
    for nic in nics(vm):
        for meter, of_nic in _NETWORK:
            yield from _of_nic(vm, nic, meter, of_nic(nic))
    if sample.definition.instance is not None:
        instance = sample.definition.instance
        yield from _one(vm, _ROOT_SIZE, instance.flavor_disk_gib, sample.taken)
        yield from _one(vm, _EPHEMERAL_SIZE, instance.flavor_ephemeral_gib, sample.taken)


def _cpu_time_ns(cpu: Cpu, vcpus: int) -> int | None:
    """Return the vCPUs' time and wait, the domain's time where one of them tells less."""
    times = [total(vcpu.time_ns, vcpu.wait_ns) for vcpu in cpu.vcpus]
    of_vcpus = total(*times) if len(times) == vcpus else None
    return cpu.time_ns if of_vcpus is None else of_vcpus


def _deltas(vm: Vm, nic: VmNic, before: Told | None, after: Told) -> Iterator[dict[str, Any]]:
    # The generation grows with a new collector, too, for which no counter has begun anew.
    anew = before is not None and before.domain_id != after.domain_id
    rx_before, tx_before = (before.rx_bytes, before.tx_bytes) if before else (None, None)
    yield from _of_nic(vm, nic, _RX_DELTA, _growth(rx_before, after.rx_bytes, anew))
    yield from _of_nic(vm, nic, _TX_DELTA, _growth(tx_before, after.tx_bytes, anew))


def _growth(before: int | None, after: int | None, anew: bool) -> int | None:
    if after is None:
        return None
    if before is None:
        return 0
    return after if anew or after < before else after - before


def _of_nic(vm: Vm, nic: VmNic, meter: _Meter, value: int | None) -> Iterator[dict[str, Any]]:
    yield from _one(
        vm,
        meter,
        value,
        vm.sample.interfaces_taken or vm.sample.taken,
        suffix=nic.target or nic.key,
        prefix=f"{vm.sample.name}-",
        more=known({"name": nic.target, "vnic_name": nic.target, "mac": nic.mac}),
    )


def _one(
    vm: Vm,
    meter: _Meter,
    value: float | None,
    taken: Moment,
    *,
    prefix: str = "",
    suffix: str = "",
    more: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the sample, nothing where the volume is not known."""
    if value is None:
        return
    sample, instance = vm.sample, vm.sample.definition.instance
    yield {
        "name": meter.name,
        "type": meter.kind,
        "unit": meter.unit,
        "volume": value,
        "resource_id": f"{prefix}{sample.uuid}-{suffix}" if suffix else sample.uuid,
        "timestamp": iso(taken),
        "user_id": instance and instance.user_id,
        "project_id": instance and instance.project_id,
        "resource_metadata": known(
            {
                "instance_id": sample.uuid,
                "name": sample.name,
                "display_name": instance and instance.name,
                "instance_type": instance and instance.flavor_name,
                **(more or {}),
            }
        ),
    }
