# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of Nova's own paths, /v2.1, as far as a host can answer them (Compute API reference).

Before microversion 2.53 hypervisors have numbers for ids, here their place in the list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.rest.microversions import LEAST, MOST, shown
from kvmlog.rpcserver.rest.routes import TEXT, Parameter, Question, Route, boolean, text
from kvmlog.rpcserver.vms.errors import UnknownVmError
from kvmlog.vmstats.sample import State

PREFIX: Final = "/v2.1"
# Since when it is so.
_STRUCTURED_CPU: Final = (2, 28)
_STANDARD_DIAGNOSTICS: Final = (2, 48)
_UUIDS: Final = (2, 53)
_NO_CAPACITIES: Final = (2, 88)
# nova/compute/power_state.py, and the status that the API makes of it when nothing is under way.
_STATES: Final = {
    State.NOSTATE: (0, "UNKNOWN"),
    State.RUNNING: (1, "ACTIVE"),
    State.BLOCKED: (1, "ACTIVE"),
    State.PAUSED: (3, "PAUSED"),
    State.SHUTDOWN: (4, "ACTIVE"),
    State.SHUTOFF: (4, "SHUTOFF"),
    State.CRASHED: (6, "SHUTOFF"),
    State.PMSUSPENDED: (7, "SUSPENDED"),
}
_VM_STATES: Final = {
    "UNKNOWN": None,
    "ACTIVE": "active",
    "PAUSED": "paused",
    "SHUTOFF": "stopped",
    "SUSPENDED": "suspended",
}
_LISTED: Final = ("id", "hypervisor_hostname", "state", "status", "servers")

_ID: Final = Parameter("id", "The hypervisor's id", TEXT, text)
_SERVER: Final = Parameter("id", "The server's UUID; its name and pid are taken too", TEXT, text)
_PATTERN: Final = Parameter("hypervisor_hostname_pattern", "Part of the host's name", TEXT, text)
_WITH_SERVERS: Final = Parameter(
    "with_servers", "List the host's servers, too", {"type": "boolean"}, boolean
)


def version_document(_: Question) -> dict[str, Any]:
    """Serve the version discovery: which microversions there are."""
    return {
        "version": {
            "id": "v2.1",
            "status": "CURRENT",
            "version": shown(MOST),
            "min_version": shown(LEAST),
            "updated": "2013-07-23T11:33:21Z",
            "links": [{"rel": "self", "href": f"{PREFIX}/"}],
            "media-types": [
                {
                    "base": "application/json",
                    "type": "application/vnd.openstack.compute+json;version=2.1",
                }
            ],
        }
    }


def _hypervisors(question: Question) -> list[dict[str, Any]]:
    kind = "nova-2.88" if question.version >= _NO_CAPACITIES else "nova-2.53"
    found = question.vms.hypervisors(
        question.poll(), kind, with_servers=question.query.get("with_servers", False)
    )
    if question.version < _UUIDS:
        found = [_numbered(one, number) for number, one in enumerate(found, 1)]
    if question.version < _STRUCTURED_CPU:
        found = [{**one, "cpu_info": json.dumps(one["cpu_info"])} for one in found]
    return found


def _numbered(detail: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {**detail, "id": number, "service": {**detail["service"], "id": number}}


def _detail(question: Question) -> dict[str, Any]:
    found, pattern = _hypervisors(question), question.query.get("hypervisor_hostname_pattern")
    if pattern is not None:
        found = [one for one in found if pattern in one["hypervisor_hostname"]]
        if not found:
            raise UnknownVmError(
                f"no hypervisor matching '{clean(pattern)}' could be found; list them without"
            )
    return {"hypervisors": found}


def _list(question: Question) -> dict[str, Any]:
    found = _detail(question)["hypervisors"]
    return {"hypervisors": [{name: one[name] for name in _LISTED if name in one} for one in found]}


def _show(question: Question) -> dict[str, Any]:
    for one in _hypervisors(question):
        if str(one["id"]) == question.path["id"]:
            return {"hypervisor": one}
    raise _no_hypervisor(question)


def _no_hypervisor(question: Question) -> UnknownVmError:
    wanted = clean(question.path["id"])
    return UnknownVmError(f"compute host {wanted} could not be found; list os-hypervisors")


def _uptime(question: Question) -> dict[str, Any]:
    if question.version >= _NO_CAPACITIES:
        raise UnknownVmError(f"there is no uptime from {shown(_NO_CAPACITIES)} on; show has it")
    poll = question.poll()
    uptimes = [one["uptime"] for one in question.vms.hypervisors(poll, "nova-2.88")]
    for one, uptime in zip(_hypervisors(question), uptimes, strict=True):
        if str(one["id"]) == question.path["id"]:
            found = {name: one[name] for name in _LISTED if name in one}
            return {"hypervisor": {**found, "uptime": uptime}}
    raise _no_hypervisor(question)


def _diagnostics(question: Question) -> dict[str, Any]:
    kind = "nova-2.48" if question.version >= _STANDARD_DIAGNOSTICS else "nova"
    return question.vms.of_vm(question.poll(1), question.path["id"], kind)


def _aggregates(_: Question) -> dict[str, Any]:
    # `openstack hypervisor show` asks for it; a host knows of no aggregate.
    return {"aggregates": []}


def _server(question: Question) -> dict[str, Any]:
    poll = question.poll(1)
    vm = question.vms.find(poll, question.path["id"])
    sample, instance = vm.sample, vm.sample.definition.instance
    host = poll.snapshot.host_of(vm)
    state, status = _STATES[sample.state]
    return {
        "server": {
            "id": sample.uuid,
            "name": instance.name if instance and instance.name else sample.name,
            "status": status,
            "tenant_id": instance and instance.project_id,
            "user_id": instance and instance.user_id,
            "OS-EXT-STS:power_state": state,
            "OS-EXT-STS:task_state": None,
            "OS-EXT-STS:vm_state": _VM_STATES[status],
            "OS-EXT-SRV-ATTR:instance_name": sample.name,
            "OS-EXT-SRV-ATTR:host": host and host.hostname,
            "OS-EXT-SRV-ATTR:hypervisor_hostname": host and host.hostname,
            "links": [{"rel": "self", "href": f"{PREFIX}/servers/{sample.uuid}"}],
        }
    }


def _one(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: schema}}


# Before 2.53 with other ids, before 2.28 with cpu_info as a text: what a client asks for by itself.
_HYPERVISOR: Final = {
    "anyOf": [{"$ref": "hypervisor-2.88"}, {"$ref": "hypervisor-2.53"}, {"type": "object"}]
}
_VERSION: Final = _one("version", {"type": "object", "required": ["id", "version", "min_version"]})

ROUTES: Final = (
    Route(PREFIX, "nova_version", "Version discovery", version_document, _VERSION),
    Route(f"{PREFIX}/", "nova_version_too", "Version discovery", version_document, _VERSION),
    Route(
        f"{PREFIX}/os-hypervisors",
        "nova_hypervisors",
        "Hypervisors",
        _list,
        _one("hypervisors", {"type": "array", "items": {"type": "object"}}),
        query=(_PATTERN, _WITH_SERVERS),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        f"{PREFIX}/os-hypervisors/detail",
        "nova_hypervisors_detail",
        "Hypervisors in detail",
        _detail,
        _one("hypervisors", {"type": "array", "items": _HYPERVISOR}),
        query=(_PATTERN, _WITH_SERVERS),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        f"{PREFIX}/os-hypervisors/{{id}}",
        "nova_hypervisor",
        "One hypervisor in detail",
        _show,
        _one("hypervisor", _HYPERVISOR),
        in_path=(_ID,),
        query=(_WITH_SERVERS,),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        f"{PREFIX}/os-hypervisors/{{id}}/uptime",
        "nova_hypervisor_uptime",
        "How long a host is up, as uptime(1) has it; until 2.87",
        _uptime,
        _one("hypervisor", {"type": "object", "required": ["uptime"]}),
        in_path=(_ID,),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        f"{PREFIX}/os-aggregates",
        "nova_aggregates",
        "Aggregates, of which a host knows none",
        _aggregates,
        _one("aggregates", {"type": "array", "maxItems": 0}),
    ),
    Route(
        f"{PREFIX}/servers/{{id}}",
        "nova_server",
        "A server, as far as its host knows it",
        _server,
        _one("server", {"type": "object", "required": ["id", "name", "status"]}),
        in_path=(_SERVER,),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        f"{PREFIX}/servers/{{id}}/diagnostics",
        "nova_diagnostics",
        "Diagnostics of a running server",
        _diagnostics,
        {"anyOf": [{"$ref": "nova-diagnostics-2.48"}, {"$ref": "nova-diagnostics"}]},
        in_path=(_SERVER,),
        refusals=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    ),
)
