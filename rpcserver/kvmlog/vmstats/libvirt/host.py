# SPDX-License-Identifier: GPL-2.0-or-later
"""A host as libvirt tells it; where that is this host, /proc and /sys tell more (host_local)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import libvirt
from defusedxml import ElementTree

from kvmlog.guests.sanitize import clean, normal_uuid
from kvmlog.vmstats.host import Host, HostCpu, HostMemory
from kvmlog.vmstats.libvirt import binding
from kvmlog.vmstats.libvirt.uri import is_local
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Vm

_T = TypeVar("_T")
_KIB: Final = 1024
_FEATURES_MOST: Final = 1024
# What virNodeGetInfo() calls its fields, in order.
_MODEL, _MEMORY_MIB, _CPUS, _MHZ, _NODES, _SOCKETS, _CORES, _THREADS = range(8)


@dataclass(frozen=True)
class _Capabilities:
    """What does not change while libvirt runs."""

    uuid: str | None
    arch: str | None
    model: str | None
    vendor: str | None
    features: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """A host's own part of a sample."""

    uri: str
    taken: Moment
    hostname: str
    uuid: str | None
    hypervisor_type: str
    hypervisor_version: int | None
    libvirt_version: int | None
    cpu: HostCpu
    memory: HostMemory


class HostCalls:
    """The calls about the host behind one connection; each that is not supported is made once."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._unsupported: set[str] = set()
        self._capabilities: _Capabilities | None = None
        self._busy_before: tuple[int, int] | None = None  # busy and all CPU time, ns

    def renew(self) -> None:
        """Ask for everything again: another libvirt may have come."""
        self._unsupported.clear()
        self._capabilities = None

    def sample(self, connection: libvirt.virConnect) -> Told:
        """Return what this libvirt tells of its host. libvirtError where it tells nothing."""
        info = connection.getInfo()
        if self._capabilities is None:
            text = self._ask("capabilities", connection.getCapabilities)
            self._capabilities = _capabilities(text or "")
        times: dict[str, int] = self._ask("cpu", lambda: connection.getCPUStats(-1)) or {}
        memory: dict[str, int] = self._ask("memory", lambda: connection.getMemoryStats(-1)) or {}
        return Told(
            uri=self._uri,
            taken=Moment.now(),
            hostname=clean(self._ask("hostname", connection.getHostname) or ""),
            uuid=self._capabilities.uuid,
            hypervisor_type=clean(connection.getType()),
            hypervisor_version=self._ask("version", connection.getVersion),
            libvirt_version=self._ask("libvirt", connection.getLibVersion),
            cpu=self._cpu(info, times, self._capabilities),
            memory=self._memory(info, memory, connection),
        )

    def _cpu(self, info: list[Any], times: dict[str, int], known: _Capabilities) -> HostCpu:
        return HostCpu(
            count=int(info[_CPUS]),
            model=known.model,
            vendor=known.vendor,
            arch=known.arch or clean(str(info[_MODEL])),
            mhz=int(info[_MHZ]) or None,
            features=known.features,
            nodes=int(info[_NODES]),
            sockets=int(info[_SOCKETS]),
            cores=int(info[_CORES]),
            threads=int(info[_THREADS]),
            user_ns=times.get("user"),
            system_ns=times.get("kernel"),
            idle_ns=times.get("idle"),
            iowait_ns=times.get("iowait"),
            busy_percent=self._busy_percent(times),
        )

    def _busy_percent(self, times: dict[str, int]) -> float | None:
        if not times:
            return None
        idle = times.get("idle", 0) + times.get("iowait", 0)
        every = idle + times.get("user", 0) + times.get("kernel", 0)
        now, before = (every - idle, every), self._busy_before
        self._busy_before = now
        # The kernel's idle time may step back a little.
        if before is None or now[1] <= before[1] or now[0] < before[0]:
            return None
        return min(100.0, 100 * (now[0] - before[0]) / (now[1] - before[1]))

    def _memory(
        self, info: list[Any], told: dict[str, int], connection: libvirt.virConnect
    ) -> HostMemory:
        free = told.get("free")
        if free is None:
            free_bytes = self._ask("free memory", connection.getFreeMemory)
        else:
            free_bytes = free * _KIB
        total = told.get("total")
        cached = told.get("cached")
        return HostMemory(
            total_bytes=int(info[_MEMORY_MIB]) << 20 if total is None else total * _KIB,
            free_bytes=free_bytes,
            available_bytes=None,
            cached_bytes=None if cached is None else cached * _KIB,
            swap_total_bytes=None,
            swap_free_bytes=None,
            anonymous_huge_bytes=None,
            transparent_huge_pages=None,
        )

    def _ask(self, name: str, call: Callable[[], _T]) -> _T | None:
        if name in self._unsupported:
            return None
        try:
            return call()
        except libvirt.libvirtError as error:
            if binding.is_unsupported(error):
                self._unsupported.add(name)
            return None


def host_of(told: Told, vms: Iterable[Vm]) -> Host:
    """Return the sample of a host, with the balloons of its running VMs added up."""
    memories = [vm.sample.memory for vm in vms if vm.sample.active and vm.sample.memory]
    return Host(
        uri=told.uri,
        local=is_local(told.uri),
        taken=told.taken,
        hostname=told.hostname,
        uuid=told.uuid,
        address=None,
        hypervisor_type=told.hypervisor_type,
        hypervisor_version=told.hypervisor_version,
        libvirt_version=told.libvirt_version,
        cpu=told.cpu,
        memory=told.memory,
        disk=None,
        ksm=None,
        huge_pages=None,
        pressure=None,
        load=None,
        uptime_s=None,
        balloon_current_bytes=sum(one.actual_bytes or 0 for one in memories),
        balloon_maximum_bytes=sum(one.maximum_bytes or 0 for one in memories),
    )


def _capabilities(text: str) -> _Capabilities:
    """Parse <capabilities>; what is not there, or cannot be parsed, is None."""
    try:
        host = ElementTree.fromstring(text).find("host") if text else None
    except (ElementTree.ParseError, ValueError):
        host = None
    if host is None:
        return _Capabilities(None, None, None, None, ())

    def word(path: str) -> str | None:
        found = host.findtext(path)
        return clean(found) if found else None

    names = [clean(one.get("name", "")) for one in host.findall("cpu/feature")]
    return _Capabilities(
        uuid=normal_uuid(host.findtext("uuid") or ""),
        arch=word("cpu/arch"),
        model=word("cpu/model"),
        vendor=word("cpu/vendor"),
        features=tuple(names[:_FEATURES_MOST]),
    )
