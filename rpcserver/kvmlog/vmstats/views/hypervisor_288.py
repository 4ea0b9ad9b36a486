# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's hypervisor detail since microversion 2.88: no capacities, but the uptime."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot
from kvmlog.vmstats.views.hypervisor import (
    UNCONFIGURED,
    Reserved,
    Service,
    identity,
    servers,
)


def document(
    host: Host,
    snapshot: Snapshot,
    now: Moment,
    *,
    with_servers: bool = False,
    service: Service | None = None,
    reserved: Reserved = UNCONFIGURED,  # as the detail with capacities has it
) -> dict[str, Any]:
    """Return the detail; uptime is null where only the host itself could tell it."""
    detail = {**identity(host, snapshot, now, service), "uptime": _uptime(host)}
    return detail | ({"servers": servers(host, snapshot)} if with_servers else {})


def _uptime(host: Host) -> str | None:
    """Return a line as uptime(1) prints it, in UTC and without the number of users."""
    if host.uptime_s is None:
        return None
    when = datetime.fromtimestamp(host.taken.realtime_ns // 1_000_000_000, UTC)
    minutes = int(host.uptime_s) // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    up = f"{days} day{'s' if days > 1 else ''}, " if days else ""
    up += f"{hours:2}:{minutes:02}" if hours else f"{minutes} min"
    load = ""
    if host.load is not None:
        load = ",  load average: " + ", ".join(f"{one:.2f}" for one in host.load)
    return f" {when:%H:%M:%S} up {up}{load}"
