# SPDX-License-Identifier: GPL-2.0-or-later
"""A host as libvirt tells it; where that is this host, /proc and /sys tell more (host_local)."""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import libvirt
from defusedxml import ElementTree

from kvmlog.guests.sanitize import clean, normal_uuid
from kvmlog.vmstats import cpu_times
from kvmlog.vmstats.aside import Aside
from kvmlog.vmstats.cpu_times import CpuTimes
from kvmlog.vmstats.host import Host, HostCpu, HostDisk, HostMemory
from kvmlog.vmstats.host_local import LocalFigures, LocalHost
from kvmlog.vmstats.libvirt import binding
from kvmlog.vmstats.libvirt.uri import is_local
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Vm

_T = TypeVar("_T")
# How long the disk's figures are waited for, and how long an address is believed.
_DISK_S: Final = 0.2
_ADDRESS_S: Final = 300.0
_FEATURES_MOST: Final = 1024
# What virNodeGetInfo() calls its fields, in order.
_ARCH, _MEMORY_MIB, _CPUS, _MHZ, _NODES, _SOCKETS, _CORES, _THREADS = range(8)


@dataclass(frozen=True)
class _Capabilities:
    """What does not change while libvirt runs."""

    uuid: str | None
    arch: str | None
    model: str | None
    vendor: str | None
    features: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """What libvirt tells of its host and does not change with each poll."""

    hostname: str
    hypervisor_type: str
    hypervisor_version: int | None
    libvirt_version: int | None
    capabilities: _Capabilities
    complete: bool  # what is not there never will be


@dataclass(frozen=True)
class Node:
    """What libvirt tells of its host's CPUs and memory."""

    taken: Moment
    info: tuple[Any, ...]
    times: CpuTimes | None
    memory: HostMemory

    @property
    def cpus(self) -> int:
        """Return how many CPUs are online."""
        return int(self.info[_CPUS])


class HostCalls:
    """The calls about the host behind one connection; one that is not supported is made once.

    Each may take minutes (HostFacts makes them aside).
    """

    def __init__(self) -> None:
        self._unsupported: set[str] = set()
        self._failed: set[str] = set()  # which may succeed later

    def renew(self) -> None:
        """Ask for everything again: another libvirt may have come."""
        self._unsupported.clear()

    def identity(self, connection: libvirt.virConnect) -> Identity | None:
        """Return who the host is; None where the connection is broken."""
        hostname = self._ask("hostname", connection.getHostname)
        version = self._ask("version", connection.getVersion)
        libvirt_version = self._ask("libvirt", connection.getLibVersion)
        capabilities = self._ask("capabilities", connection.getCapabilities)
        if not connection.isAlive():
            return None
        return Identity(
            hostname=clean(hostname or ""),
            hypervisor_type=clean(connection.getType()),
            hypervisor_version=version,
            libvirt_version=libvirt_version,
            capabilities=_capabilities(capabilities or ""),
            complete=self._failed.isdisjoint(("hostname", "version", "libvirt", "capabilities")),
        )

    def node(self, connection: libvirt.virConnect) -> Node | None:
        """Return CPUs and memory; None where the host's size is not known."""
        info = self._ask("info", connection.getInfo)
        if info is None:
            return None
        return Node(
            taken=Moment.now(),
            info=tuple(info),
            times=self._times(connection),
            memory=self._memory(connection, int(info[_MEMORY_MIB])),
        )

    def _times(self, connection: libvirt.virConnect) -> CpuTimes | None:
        told = self._ask("cpu", lambda: connection.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS))
        if told is None or not {"user", "kernel", "idle"} <= told.keys():
            return None
        return CpuTimes(
            user_ns=told["user"],
            system_ns=told["kernel"],
            idle_ns=told["idle"],
            iowait_ns=told.get("iowait", 0),
        )

    def _memory(self, connection: libvirt.virConnect, total_mib: int) -> HostMemory:
        told: dict[str, int] = (
            self._ask(
                "memory",
                lambda: connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS),
            )
            or {}
        )
        known = {name: kib << 10 for name, kib in told.items()}
        return HostMemory(
            total_bytes=known.get("total", total_mib << 20),
            free_bytes=known.get("free"),
            available_bytes=None,
            cached_bytes=known.get("cached"),
            swap_total_bytes=None,
            swap_free_bytes=None,
            anonymous_huge_bytes=None,
            transparent_huge_pages=None,
        )

    def _ask(self, name: str, call: Callable[[], _T]) -> _T | None:
        if name in self._unsupported:
            return None
        self._failed.discard(name)
        try:
            return call()
        except libvirt.libvirtError as error:
            (self._unsupported if binding.is_unsupported(error) else self._failed).add(name)
            return None


class HostSampler:
    """Samples of one host, from what libvirt tells and, of this host, from /proc and /sys.

    images: the folder whose file system is the host's disk.
    """

    def __init__(self, uri: str, images: str) -> None:
        self._uri = uri
        self._local = LocalHost() if is_local(uri) else None
        self._disk = Aside(functools.partial(_disk, images))
        self._hostname = ""
        self._address = Aside(self._look_up)
        self._resolve_s = 0.0
        self._before: Node | None = None
        self._busy: float | None = None

    def sample(self, identity: Identity, node: Node, vms: Iterable[Vm]) -> Host:
        """Return the newest sample; vms: those on the host, whose balloons are added up."""
        local = None if self._local is None else self._local.read(Moment.now())
        memories = [vm.sample.memory for vm in vms if vm.sample.active and vm.sample.memory]
        return Host(
            uri=self._uri,
            local=local is not None,
            taken=node.taken,
            hostname=identity.hostname,
            uuid=identity.capabilities.uuid,
            address=self._resolve(identity.hostname),
            hypervisor_type=identity.hypervisor_type,
            hypervisor_version=identity.hypervisor_version,
            libvirt_version=identity.libvirt_version,
            cpu=self._cpu(identity.capabilities, node, local),
            memory=local.memory if local and local.memory else node.memory,
            disk=self._disk.get(_DISK_S) if local else None,
            ksm=local.ksm if local else None,
            huge_pages=local.huge_pages if local else None,
            pressure=local.pressure if local else None,
            load=local.load if local else None,
            uptime_s=local.uptime_s if local else None,
            balloon_current_bytes=sum(one.actual_bytes or 0 for one in memories),
            balloon_maximum_bytes=sum(one.maximum_bytes or 0 for one in memories),
        )

    def _cpu(self, known: _Capabilities, node: Node, local: LocalFigures | None) -> HostCpu:
        info, times = node.info, node.times
        if local is not None and local.cpu is not None:
            times, busy = local.cpu, local.busy_percent
        else:
            busy = self._busy_percent(node)
        return HostCpu(
            count=node.cpus,
            model=known.model,
            vendor=known.vendor,
            arch=known.arch or clean(str(info[_ARCH])),
            mhz=int(info[_MHZ]) or None,
            features=known.features,
            nodes=int(info[_NODES]),
            sockets=int(info[_SOCKETS]),
            cores=int(info[_CORES]),
            threads=int(info[_THREADS]),
            user_ns=None if times is None else times.user_ns,
            system_ns=None if times is None else times.system_ns,
            idle_ns=None if times is None else times.idle_ns,
            iowait_ns=None if times is None else times.iowait_ns,
            busy_percent=busy,
        )

    def _busy_percent(self, node: Node) -> float | None:
        """Return how busy the CPUs were between the two newest answers."""
        before, times = self._before, node.times
        if before is None or before.taken != node.taken:
            self._busy = None
            if before is not None and before.times is not None and times is not None:
                self._busy = cpu_times.busy_percent(before.times, times)
            self._before = node
        return self._busy

    def _resolve(self, hostname: str) -> str | None:
        """Return the host's address; it is looked up rarely, and not waited for."""
        now = time.monotonic()
        if hostname != self._hostname or now >= self._resolve_s:
            self._hostname, self._resolve_s = hostname, now + _ADDRESS_S
            self._address.begin()
        found, address = self._address.last or ("", None)
        return address if found == hostname else None

    def _look_up(self) -> tuple[str, str | None]:
        hostname = self._hostname
        return hostname, _address(hostname)


def _disk(folder: str) -> HostDisk | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return HostDisk(folder, found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def _address(hostname: str) -> str | None:
    try:
        found = socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    addresses = [str(one[4][0]) for one in found]
    return next(iter(sorted(addresses, key=_is_loopback)), None)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


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
