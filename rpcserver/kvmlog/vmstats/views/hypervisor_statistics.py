# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's statistics of all hypervisors: sums over those that are enabled, whether up or down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from kvmlog.vmstats.views.units import total

_SUMS: Final = (
    "disk_available_least",
    "free_disk_gb",
    "free_ram_mb",
    "local_gb",
    "local_gb_used",
    "memory_mb",
    "memory_mb_used",
    "running_vms",
    "vcpus",
    "vcpus_used",
)


def document(details: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums over details of microversion 2.53; null where one of them is not known."""
    counted = [one for one in details if one["status"] == "enabled"]
    sums = {name: total(*(one[name] for one in counted)) for name in _SUMS}
    # What Nova counts there are its own tasks, which a host does not know.
    return {"count": len(counted), "current_workload": None, **sums}
