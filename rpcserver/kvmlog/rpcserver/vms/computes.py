# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers about the hosts of a poll as Nova has them: hypervisors, hosts, totals, limits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final, Protocol

from kvmlog.config import owner_limits
from kvmlog.config.schema.vms import LimitsKeys
from kvmlog.guests.sanitize import clean
from kvmlog.history.model import Service
from kvmlog.history.views import hosts as host_views
from kvmlog.rpcserver import nearest
from kvmlog.rpcserver.vms.source import Poll
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot
from kvmlog.vmstats.views import (
    host_resources,
    hypervisor,
    hypervisor_253,
    hypervisor_288,
    hypervisor_statistics,
    hypervisors,
)
from kvmlog.vmstats.views import limits as limit_views
from kvmlog.vmstats.views.errors import NoHypervisorError, UnknownFormatError
from kvmlog.vmstats.views.hypervisor import NO_SERVICES, UNCONFIGURED, Reserved, Services


class _OfHost(Protocol):
    def __call__(
        self,
        host: Host,
        snapshot: Snapshot,
        now: Moment,
        *,
        with_servers: bool = False,
        service: hypervisor.Service | None = None,
        reserved: Reserved = UNCONFIGURED,
    ) -> dict[str, Any]: ...


_FORMATS: Final[dict[str, _OfHost]] = {
    "nova-2.53": hypervisor_253.document,
    "nova-2.88": hypervisor_288.document,
}
HYPERVISORS: Final = tuple(_FORMATS)


def details(
    poll: Poll,
    kind: str,
    services: Services = NO_SERVICES,
    *,
    pattern: str | None = None,
    with_servers: bool = False,
    reserved: Reserved = UNCONFIGURED,
) -> list[dict[str, Any]]:
    """Return Nova's detail of each host, kind: of HYPERVISORS; they tell that they are late.

    pattern: those with it in their names; NoHypervisorError where none has. UnknownFormatError.
    """
    make, now = _FORMATS.get(kind), Moment.now()
    if make is None:
        raise UnknownFormatError(f"{kind!a}: no format; {nearest.one_of(kind, _FORMATS)}")
    return [
        make(
            one,
            poll.snapshot,
            now,
            with_servers=with_servers,
            service=services.get(one.hostname),
            reserved=reserved,
        )
        for one in _chosen(poll, pattern)
    ]


def listed(
    poll: Poll,
    services: Services = NO_SERVICES,
    *,
    pattern: str | None = None,
    with_servers: bool = False,
) -> list[dict[str, Any]]:
    """Return Nova's list of the hosts; pattern as in details()."""
    return hypervisors.document(
        _chosen(poll, pattern),
        poll.snapshot,
        Moment.now(),
        with_servers=with_servers,
        services=services,
    )


def statistics(
    poll: Poll, services: Services = NO_SERVICES, reserved: Reserved = UNCONFIGURED
) -> dict[str, Any]:
    """Return the sums over all hosts that are enabled."""
    return hypervisor_statistics.document(details(poll, "nova-2.53", services, reserved=reserved))


def hosts(poll: Poll, services: Services, others: Sequence[Service]) -> list[dict[str, str]]:
    """Return Nova's hosts: of the VMs, and of the enabled services among others."""
    return host_views.document(listed(poll, services), others)


def resources(poll: Poll, name: str, reserved: Reserved = UNCONFIGURED) -> list[dict[str, Any]]:
    """Return Nova's resources of the host of a name; NoHypervisorError."""
    for one in poll.snapshot.hosts:
        if one.hostname == name:
            return host_resources.document(one, poll.snapshot, reserved)
    known = ", ".join(one.hostname for one in poll.snapshot.hosts) or "none yet"
    raise NoHypervisorError(f"compute host {clean(name)} could not be found; known are: {known}")


def limits(poll: Poll, project_id: str | None, keys: LimitsKeys) -> dict[str, Any]:
    """Return the limits of an owner, as they are configured; None: of all VMs together."""
    return limit_views.document(poll.snapshot, project_id, _rules(keys), Moment.now())


@functools.lru_cache(maxsize=4)
def _rules(keys: LimitsKeys) -> limit_views.Rules:
    return limit_views.Rules(
        owner_limits.parse(keys.owners),
        keys.cpu_ratio,
        keys.ram_ratio,
        keys.reserved_cpus,
        keys.reserved_ram_mib,
    )


def _chosen(poll: Poll, pattern: str | None) -> Sequence[Host]:
    found = poll.snapshot.hosts
    return found if pattern is None else hypervisors.matching(found, pattern)
