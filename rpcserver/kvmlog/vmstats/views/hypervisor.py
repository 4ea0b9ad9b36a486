# SPDX-License-Identifier: GPL-2.0-or-later
"""What Nova's hypervisors have in all microversions: identity, service, and the VMs on a host."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from kvmlog.config.schema.vms import LimitsKeys
from kvmlog.guests.sanitize import normal_uuid
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.vmstats.views.units import seconds_between

# Nova's service_down_time; a collector that polls more rarely than that misses a poll first.
_DOWN_S: Final = 60.0
_SERVICE: Final = "nova-compute"


@dataclass(frozen=True)
class Service:
    """The service by which an operator takes a host out of use."""

    id: str  # UUID
    disabled: bool
    disabled_reason: str | None
    forced_down: bool


@dataclass(frozen=True)
class Reserved:
    """What of each host is not for VMs, and counts as used."""

    ram_mib: int
    cpus: int

    @classmethod
    def of(cls, keys: LimitsKeys) -> Reserved:
        """Return what is configured."""
        return cls(keys.reserved_ram_mib, keys.reserved_cpus)


# As long as nothing else is configured: Nova's own reserved_host_memory_mb.
UNCONFIGURED: Final = Reserved.of(LimitsKeys())

# By the name of the host.
Services: TypeAlias = Mapping[str, Service]
NO_SERVICES: Final[Services] = MappingProxyType({})


def identity(
    host: Host, snapshot: Snapshot, now: Moment, service: Service | None = None
) -> dict[str, Any]:
    """Return the fields that the list has too, and the service; without one nothing disables it."""
    own = normal_uuid(host.uuid or "") or str(uuid.uuid5(uuid.NAMESPACE_DNS, host.hostname))
    if service is None:
        service = Service(str(uuid.uuid5(uuid.UUID(own), _SERVICE)), False, None, False)
    late_s = max(_DOWN_S, 2 * snapshot.collector.effective_interval_s)
    up = not service.forced_down and seconds_between(host.taken, now) <= late_s
    return {
        "id": own,
        "hypervisor_hostname": host.hostname,
        "state": "up" if up else "down",
        "status": "disabled" if service.disabled else "enabled",
        "host_ip": host.address,
        "hypervisor_type": host.hypervisor_type,
        "hypervisor_version": host.hypervisor_version,
        "service": {
            "host": host.hostname,
            "id": service.id,
            "disabled_reason": service.disabled_reason,
        },
    }


def vms_on(host: Host, snapshot: Snapshot) -> list[Vm]:
    """Return all VMs of a host, whether they run or not."""
    return [vm for vm in snapshot.vms if vm.sample.uri == host.uri]


def servers(host: Host, snapshot: Snapshot) -> list[dict[str, str]]:
    """Return name and UUID of all VMs of a host."""
    return [{"name": vm.sample.name, "uuid": vm.sample.uuid} for vm in vms_on(host, snapshot)]
