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

PREFIX: Final = "/v2.1"
# Since when it is so.
_STRUCTURED_CPU: Final = (2, 28)
_STANDARD_DIAGNOSTICS: Final = (2, 48)
_UUIDS: Final = (2, 53)
_NO_CAPACITIES: Final = (2, 88)
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
    wanted = question.path["id"]
    for one in _hypervisors(question):
        if str(one["id"]) == wanted:
            return {"hypervisor": one}
    raise UnknownVmError(f"compute host {clean(wanted)} could not be found; list os-hypervisors")


def _diagnostics(question: Question) -> dict[str, Any]:
    kind = "nova-2.48" if question.version >= _STANDARD_DIAGNOSTICS else "nova"
    return question.vms.of_vm(question.poll(1), question.path["id"], kind)


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
        f"{PREFIX}/servers/{{id}}/diagnostics",
        "nova_diagnostics",
        "Diagnostics of a running server",
        _diagnostics,
        {"anyOf": [{"$ref": "nova-diagnostics-2.48"}, {"$ref": "nova-diagnostics"}]},
        in_path=(_SERVER,),
        refusals=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    ),
)
