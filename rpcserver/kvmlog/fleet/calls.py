# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of each host: functions of its client."""

from __future__ import annotations

from typing import Any

from kvmlog.client import Client
from kvmlog.client.past import merged

# Of the two formats that hosts have, the one with capacities.
CAPACITIES = "nova-2.53"


def details(client: Client, kind: str, *, servers: bool = False) -> list[dict[str, Any]]:
    """Return its hypervisors in detail; servers: with their VMs."""
    found = client.hypervisor_details(kind)
    for one in found:
        # What all that follows relies on, whatever the server is.
        one["id"], one["state"], one["status"], one["hypervisor_hostname"]
    if servers:
        known = {one["id"]: one["servers"] for one in client.hypervisors(servers=True)}
        # One that came between the two calls.
        found = [{**one, "servers": known.get(one["id"], [])} for one in found]
    return found


def usage(
    client: Client, start: str | None, end: str | None, project: str | None
) -> dict[str, Any]:
    """Return what owners used of it, with each VM: all pages."""
    pages: list[dict[str, Any]] = []
    marker = None
    while not pages or marker is not None:
        page = client.usage(start, end, project=project, detailed=True, marker=marker)
        pages.append(page)
        # The last page's own marker again would have no end.
        marker = page["next_marker"] if page["next_marker"] != marker else None
    return merged(pages)
