# SPDX-License-Identifier: GPL-2.0-or-later
"""Which host of a fleet has a VM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kvmlog.fleet.hosts import FleetHost
from kvmlog.guests.sanitize import normal_uuid


def find(
    hypervisors: Iterable[tuple[FleetHost, Mapping[str, Any]]], word: str
) -> list[tuple[FleetHost, str]]:
    """Return the hosts that have VMs of this name or UUID, those that are up first, and the UUIDs.

    hypervisors: with their servers. A VM that migrates is on two hosts.
    """
    uuid = normal_uuid(word)
    found = [
        (one["state"] != "up", at, host, server["uuid"])
        for at, (host, one) in enumerate(hypervisors)
        for server in one["servers"]
        if (server["uuid"] == uuid if uuid is not None else server["name"] == word)
    ]
    found.sort(key=lambda one: one[:2])
    return [(host, own) for _, _, host, own in found]
