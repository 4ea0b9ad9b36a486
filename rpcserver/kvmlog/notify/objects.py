# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's versioned notification objects, with all their fields; what a host does not know is None.

Names and fields: Nova's notification samples, "Notifications in Nova" of its documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kvmlog.history.model import Life, Service, Size
from kvmlog.history.moment import Stamp
from kvmlog.notify.message import iso
from kvmlog.vmstats.sample import State

_MIB: Final = 1 << 20
# libvirt's state -> Nova's vm_state and power_state.
STATES: Final[Mapping[int, tuple[str | None, str]]] = {
    State.NOSTATE: (None, "pending"),
    State.RUNNING: ("active", "running"),
    State.BLOCKED: ("active", "running"),
    State.PAUSED: ("paused", "paused"),
    State.SHUTDOWN: ("active", "shutdown"),
    State.SHUTOFF: ("stopped", "shutdown"),
    State.CRASHED: ("error", "crashed"),
    State.PMSUSPENDED: ("suspended", "suspended"),
}


def versioned(name: str, version: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as oslo.versionedobjects serializes it."""
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": dict(data),
    }


def vm_state(state: int | None) -> str | None:
    """Return Nova's vm_state of libvirt's state."""
    return None if state is None else STATES[state][0]


def instance(life: Life | None, uuid: str, name: str | None, host: str) -> dict[str, Any]:
    """Return the fields that the payloads of an instance share; life: None for one not sampled."""
    owner = None if life is None else life.owner
    state = None if life is None else life.state
    run = None if life is None or not life.runs else life.runs[-1]
    ended = None if life is None or life.ended is None else life.ended.realtime_ns
    return {
        "uuid": uuid,
        "display_name": name,
        "display_description": None,
        "host_name": None,
        "host": host,
        "node": host,
        "user_id": owner and owner.user_id,
        "tenant_id": owner and owner.project_id,
        "reservation_id": None,
        "state": "deleted" if ended else vm_state(state),
        "task_state": None,
        "power_state": None if state is None else STATES[state][1],
        "created_at": iso(life.began.realtime_ns) if life is not None and life.witnessed else None,
        "launched_at": None if run is None else iso(run.began.realtime_ns),
        "terminated_at": iso(ended),
        "deleted_at": iso(ended),
        "updated_at": None,
        "flavor": None if life is None else _flavor(life.size),
        "image_uuid": None,
        "kernel_id": None,
        "ramdisk_id": None,
        "key_name": None,
        "os_type": None,
        "architecture": None,
        "availability_zone": None,
        "ip_addresses": [],
        "block_devices": None,
        "metadata": {},
        "progress": None,
        "auto_disk_config": None,
        "locked": None,
        "locked_reason": None,
        "action_initiator_user": None,
        "action_initiator_project": None,
    }


def _flavor(size: Size) -> dict[str, Any]:
    return versioned(
        "FlavorPayload",
        "1.4",
        {
            "flavorid": size.flavor_id,
            "name": size.flavor_name,
            "vcpus": size.vcpus,
            "memory_mb": size.memory_bytes // _MIB,
            # The history has their sum only.
            "root_gb": None,
            "ephemeral_gb": None,
            "swap": None,
            "rxtx_factor": None,
            "vcpu_weight": None,
            "disabled": None,
            "is_public": None,
            "extra_specs": None,
            "projects": None,
            "description": None,
        },
    )


def failure(kind: str, message: str) -> dict[str, Any]:
    """Return an ExceptionPayload; there is no exception of Nova's, so that its place is unknown."""
    return versioned(
        "ExceptionPayload",
        "1.1",
        {
            "exception": kind,
            "exception_message": message,
            "module_name": None,
            "function_name": None,
            "traceback": None,
        },
    )


def audit_period(begin_ns: int | None, end_ns: int | None) -> dict[str, Any]:
    """Return an AuditPeriodPayload."""
    return versioned(
        "AuditPeriodPayload",
        "1.0",
        {"audit_period_beginning": iso(begin_ns), "audit_period_ending": iso(end_ns)},
    )


def service(one: Service, now: Stamp) -> dict[str, Any]:
    """Return a ServiceStatusPayload."""
    return versioned(
        "ServiceStatusPayload",
        "1.1",
        {
            "uuid": one.uuid,
            "host": one.host,
            "binary": str(one.binary),
            "topic": None,
            "report_count": one.report_count,
            "disabled": not one.enabled,
            "disabled_reason": one.disabled_reason,
            "availability_zone": one.zone,
            "last_seen_up": iso(one.last_seen.as_seen_from(now)),
            "forced_down": one.forced_down,
            "version": None,
        },
    )
