# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls that a poll makes of libvirt: each takes a connection and returns plain data."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import libvirt

from kvmlog.guests.sanitize import clean
from kvmlog.vmstats.moment import Moment

# A domain's job is not waited for: then the figures that need it are left out.
_NOWAIT: Final = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_GROUPS: Final = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
_WITHOUT_BLOCK: Final = _GROUPS & ~libvirt.VIR_DOMAIN_STATS_BLOCK
# A domain that waits for its memory from another host: its disks are not its own yet.
_INCOMING: Final = (
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
)
Figures = Mapping[str, "int | str | bool | float"]


@dataclass(frozen=True)
class Record:
    """A domain as the bulk call tells it."""

    uuid: str
    name: str  # printable
    domain_id: int | None  # None: it does not run
    figures: Figures


@dataclass(frozen=True)
class Answer:
    """All domains that were asked for."""

    taken: Moment
    records: tuple[Record, ...]


def figures(connection: libvirt.virConnect, without: Collection[str]) -> Answer:
    """Return the figures of all domains but those with these UUIDs.

    A domain that vanishes meanwhile is left out.
    """
    incoming = {domain.UUIDString() for domain in _incoming(connection)}
    if not without and not incoming:
        told = connection.getAllDomainStats(_GROUPS, _NOWAIT)
        return Answer(Moment.now(), tuple(_records(told)))
    domains = [one for one in connection.listAllDomains() if one.UUIDString() not in without]
    told = []
    for wanted, groups in ((False, _GROUPS), (True, _WITHOUT_BLOCK)):
        chosen = [one for one in domains if (one.UUIDString() in incoming) == wanted]
        if chosen:
            told += connection.domainListGetStats(chosen, groups, _NOWAIT)
    return Answer(Moment.now(), tuple(_records(told)))


def _incoming(connection: libvirt.virConnect) -> Iterable[libvirt.virDomain]:
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED):
        with contextlib.suppress(libvirt.libvirtError):  # it has gone
            state, reason = domain.state()
            if state == libvirt.VIR_DOMAIN_PAUSED and reason in _INCOMING:
                yield domain


def _records(told: Iterable[tuple[libvirt.virDomain, Figures]]) -> Iterable[Record]:
    for domain, values in told:
        uuid, number = domain.UUIDString(), domain.ID()
        yield Record(uuid, name_of(domain), None if number < 0 else number, values)


def name_of(domain: libvirt.virDomain) -> str:
    """Return a domain's name, printable; its UUID where the name is no UTF-8."""
    try:
        return clean(domain.name())
    except UnicodeDecodeError:
        return str(domain.UUIDString())


def occupied(
    connection: libvirt.virConnect, among: Collection[str] | None, least_ms: int
) -> frozenset[str]:
    """Return the domains whose QEMU has owed its monitor an answer for that long, by UUID.

    among: look at these alone; None: at all. The call never waits for a domain.
    """
    found = set()
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        uuid = domain.UUIDString()
        if among is not None and uuid not in among:
            continue
        try:
            state, _details, for_ms = domain.controlInfo()
        except libvirt.libvirtError:
            continue  # it has gone, or the driver has no monitor
        if state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED and for_ms >= least_ms:
            found.add(uuid)
    return frozenset(found)


def definitions(connection: libvirt.virConnect, uuids: Iterable[str]) -> dict[str, str]:
    """Return the XML of domains, by UUID; one that has gone is left out."""
    found = {}
    for uuid in uuids:
        with contextlib.suppress(libvirt.libvirtError):
            found[uuid] = str(connection.lookupByUUIDString(uuid).XMLDesc(0))
    return found


@dataclass(frozen=True)
class Bare:
    """A domain that does not answer, and what libvirt itself knows of it."""

    uuid: str
    name: str
    domain_id: int | None
    state: int
    reason: int


def bare(connection: libvirt.virConnect, uuids: Iterable[str]) -> tuple[Bare, ...]:
    """Return what can be told of domains whose QEMU hangs; one that has gone is left out."""
    found = []
    for uuid in uuids:
        with contextlib.suppress(libvirt.libvirtError):
            domain = connection.lookupByUUIDString(uuid)
            state, reason = domain.state()
            number = domain.ID()
            found.append(Bare(uuid, name_of(domain), None if number < 0 else number, state, reason))
    return tuple(found)
