# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries of the journal as notifications, named as Nova's versioned ones where it has such.

Pure functions. What has no counterpart in Nova: instance.fault.error, kvmlog.events.lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from kvmlog.history.model import Change, ChangeKind, Life, Service
from kvmlog.history.moment import Stamp
from kvmlog.notify import objects
from kvmlog.notify.message import Message, Origin, Priority
from kvmlog.notify.periods import Period

# Names of instance actions -> those of notifications.
_ACTIONS: Final = {
    "start": "power_on",
    "stop": "power_off",
    "live-migration": "live_migration_post",
    "attach_volume": "volume_attach",
    "detach_volume": "volume_detach",
    "attach_interface": "interface_attach",
    "detach_interface": "interface_detach",
    "resize": "resize_finish",
}
_ERROR: Final = "Error"
_SET: Final = ("enabled", "disabled_reason", "forced_down")


class Facts:
    """What a notification tells beside its entry; functions that look it up."""

    def __init__(
        self,
        origin: Origin,
        life: Callable[[str], Life | None],
        service: Callable[[str], Service | None],
        now: Stamp,
    ) -> None:
        self.origin = origin
        self.life = life
        self.service = service
        self.now = now


def message(change: Change, facts: Facts) -> Message | None:
    """Return the notification of an entry; None for one that nobody is told."""
    found = _MAKERS[change.kind](change, facts)
    if found is None:
        return None
    event_type, priority, payload = found
    return Message(
        id=facts.origin.message_id(change.sequence, change.at.boot_id, change.at.monotonic_ns),
        lane=change.uuid or "",
        event_type=event_type,
        priority=priority,
        created_ns=change.at.realtime_ns,
        payload=payload,
    )


_Made = tuple[str, Priority, dict[str, Any]]


def _instance(change: Change, facts: Facts) -> dict[str, Any]:
    uuid = change.uuid or ""
    return objects.instance(facts.life(uuid), uuid, change.name, facts.origin.host)


def _action(change: Change, facts: Facts) -> _Made:
    body = change.body
    name, phase = str(body["action"]), str(body["phase"])
    failed = body.get("result") == _ERROR
    event = f"instance.{_ACTIONS.get(name, name)}.{'error' if failed else phase}"
    fault = objects.failure(name, body.get("details") or f"{name} failed") if failed else None
    payload = objects.versioned(
        "InstanceActionPayload",
        "1.9",
        {**_instance(change, facts), "fault": fault, "request_id": body.get("request_id")},
    )
    return event, Priority.ERROR if failed else Priority.INFO, payload


def _state(change: Change, facts: Facts) -> _Made:
    body, data = change.body, _instance(change, facts)
    before, after = body.get("before"), body.get("after")
    new = "deleted" if after is None else objects.vm_state(after)
    power = None if after is None else objects.STATES[after][1]
    update = {
        "old_state": objects.vm_state(before),
        "state": new,
        "old_task_state": None,
        "new_task_state": None,
    }
    more: dict[str, Any] = {
        "state": new,
        "power_state": power,
        "state_update": objects.versioned("InstanceStateUpdatePayload", "1.0", update),
        "audit_period": objects.audit_period(None, None),
        "bandwidth": [],
        "old_display_name": None,
        "tags": [],
        "request_id": None,
    }
    payload = objects.versioned("InstanceUpdatePayload", "2.1", {**data, **more})
    return "instance.update", Priority.INFO, payload


def _fault(change: Change, facts: Facts) -> _Made:
    body = change.body
    fault = objects.failure(str(body["kind"]), str(body["message"]))
    payload = objects.versioned(
        "InstanceActionPayload",
        "1.9",
        {**_instance(change, facts), "fault": fault, "request_id": None},
    )
    return "instance.fault.error", Priority.ERROR, payload


def _service(change: Change, facts: Facts) -> _Made | None:
    body = change.body
    found = facts.service(str(body["binary"]))
    if found is None:
        return None
    # As it was set then, whatever was set since.
    then = replace(found, **{name: body[name] for name in _SET if name in body})
    return "service.update", Priority.INFO, objects.service(then, facts.now)


def _connection(change: Change, facts: Facts) -> _Made | None:
    body = change.body
    if body.get("connected"):
        return None  # Nova tells of its loss only
    reason = objects.failure("libvirtError", body.get("error") or "the connection is lost")
    payload = objects.versioned("LibvirtErrorPayload", "1.0", {"ip": None, "reason": reason})
    return "libvirt.connect.error", Priority.ERROR, payload


def _gap(change: Change, _facts: Facts) -> _Made:
    return "kvmlog.events.lost", Priority.WARN, {"events": change.body.get("events")}


def _life(change: Change, facts: Facts) -> _Made | None:
    # Beginning, end and size are actions, too; a new name is not.
    if change.body.get("what") != "renamed":
        return None
    payload = objects.versioned("InstanceUpdatePayload", "2.1", _instance(change, facts))
    return "instance.update", Priority.INFO, payload


_MAKERS: Final[Mapping[ChangeKind, Callable[[Change, Facts], _Made | None]]] = {
    ChangeKind.ACTION: _action,
    ChangeKind.STATE: _state,
    ChangeKind.FAULT: _fault,
    ChangeKind.SERVICE: _service,
    ChangeKind.CONNECTION: _connection,
    ChangeKind.GAP: _gap,
    ChangeKind.LIFE: _life,
}


def exists(life: Life, period: Period, origin: Origin) -> Message:
    """Return a VM's `instance.exists` of an audit period."""
    data = objects.instance(life, life.uuid, life.name, origin.host)
    more: dict[str, Any] = {
        "audit_period": objects.audit_period(*period),
        "bandwidth": [],
        "request_id": None,
    }
    return Message(
        id=origin.message_id("exists", life.number, life.uuid, *period),
        lane=life.uuid,
        event_type="instance.exists",
        priority=Priority.INFO,
        created_ns=period.end_ns,
        payload=objects.versioned("InstanceExistsPayload", "2.0", {**data, **more}),
    )


def lost(count: int, after: int, now_ns: int, origin: Origin) -> Message:
    """Return the notification that so many were dropped after a sequence of the journal."""
    return Message(
        id=origin.message_id("lost", after, count),
        lane="",
        event_type="kvmlog.notifications.lost",
        priority=Priority.WARN,
        created_ns=now_ns,
        payload={"notifications": count},
    )
