# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's hosts: each enabled service, by its short name, and each host of VMs as `compute`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from kvmlog.history.model import Service

_COMPUTE: Final = "compute"
# Nova's default_availability_zone, in which hosts of VMs are unless somebody puts them elsewhere.
_COMPUTE_ZONE: Final = "nova"
_PREFIX: Final = "kvmlog-"


def document(
    hypervisors: Iterable[Mapping[str, Any]], services: Iterable[Service]
) -> list[dict[str, str]]:
    """Return the hosts of some hypervisors (Nova's list) and services; disabled ones are out."""
    found = [
        {
            "host_name": one["hypervisor_hostname"],
            "service": _COMPUTE,
            "zone": _COMPUTE_ZONE,
        }
        for one in hypervisors
        if one["status"] == "enabled"
    ]
    return found + [
        {
            "host_name": one.host,
            "service": str(one.binary).removeprefix(_PREFIX),
            "zone": one.zone,
        }
        for one in services
        if one.enabled
    ]
