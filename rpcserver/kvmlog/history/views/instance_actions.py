# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's instance actions, microversion 2.84, as they were observed.

Nova's own request is not known here: request_id is ours, and says so. No beginning is made up: of
an action of which only a sign was seen, start_time is null, and `observed_at` is when that was.
"""

from __future__ import annotations

import hashlib
from typing import Any

from kvmlog.history.model import Action, ActionEvent
from kvmlog.history.views import times


def document(action: Action) -> dict[str, Any]:
    """Return an action as the list has it."""
    return {
        "action": action.action,
        "instance_uuid": action.uuid,
        "instance_name": action.name,
        "request_id": action.request_id,
        "request_id_generated": True,
        "project_id": action.project_id,
        "user_id": None,
        "start_time": times.maybe(action.start),
        "observed_at": times.text(action.observed),
        "updated_at": times.text(action.updated),
        "source": str(action.source),
        "message": action.message,
    }


def detail(action: Action, host: str) -> dict[str, Any]:
    """Return an action with its events, which happened on this host."""
    host_id = _host_id(action.project_id, host)
    return {
        **document(action),
        "events": [_event(one, host, host_id) for one in action.events],
    }


def _event(event: ActionEvent, host: str, host_id: str | None) -> dict[str, Any]:
    return {
        "event": event.event,
        "start_time": times.maybe(event.start),
        "finish_time": times.maybe(event.finish),
        "result": event.result,
        "host": host,
        "hostId": host_id,
        "details": event.details,
        "traceback": None,
    }


def _host_id(project_id: str | None, host: str) -> str | None:
    """Return what shows owners which of their VMs share a host (nova.utils.generate_hostid)."""
    if project_id is None:
        return None
    return hashlib.sha224(f"{project_id}{host}".encode(), usedforsecurity=False).hexdigest()
