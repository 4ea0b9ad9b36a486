# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's services, microversion 2.53, and our own form of them, which tells more."""

from __future__ import annotations

from typing import Any

from kvmlog.history.model import Service
from kvmlog.history.moment import Stamp
from kvmlog.history.views import times


def document(service: Service, now: Stamp) -> dict[str, Any]:
    """Return a service as Nova has it."""
    return {
        "id": service.uuid,
        "binary": str(service.binary),
        "host": service.host,
        "zone": service.zone,
        "status": "enabled" if service.enabled else "disabled",
        "disabled_reason": service.disabled_reason,
        "state": "up" if service.is_up(now) else "down",
        "forced_down": service.forced_down,
        "updated_at": times.text(service.updated),
    }


def own(service: Service, now: Stamp) -> dict[str, Any]:
    """Return a service with its heartbeats, and what it says of itself."""
    return {
        **document(service, now),
        "last_seen_up": times.text(service.last_seen),
        "report_count": service.report_count,
        "detail": service.detail,
    }
