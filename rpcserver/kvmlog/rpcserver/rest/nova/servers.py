# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's servers, as far as their host knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.rest.nova.paths import PREFIX, next_links, one
from kvmlog.rpcserver.rest.routes import (
    LIMIT,
    MARKER,
    TEXT,
    Asked,
    Parameter,
    Question,
    Route,
    boolean,
    text,
)
from kvmlog.rpcserver.vms.errors import InvalidRequestError
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.vmstats.views import flavors, nova_state

_STANDARD_DIAGNOSTICS: Final = (2, 48)
_FLAVOR_INSIDE: Final = (2, 47)

SERVER: Final = Parameter("id", "The server's UUID; its name and pid are taken too", TEXT, text)


def name(vm: Vm) -> str:
    """Return the name that its owner gave a server, else that of the domain."""
    instance = vm.sample.definition.instance
    return instance.name if instance and instance.name else vm.sample.name


def _hostname(vm: Vm, host: Host | None) -> str | None:
    return None if host is None else host.hostname


def _project(vm: Vm, _: Host | None) -> str | None:
    return flavors.owner(vm)


def _user(vm: Vm, _: Host | None) -> str | None:
    instance = vm.sample.definition.instance
    return None if instance is None else instance.user_id


def _status(vm: Vm, _: Host | None) -> str:
    return nova_state.status(vm.sample.state)


# What a list may be filtered by: exactly, but names by a part, as Nova does without wildcards.
_EXACT: Final[Mapping[str, Callable[[Vm, Host | None], str | None]]] = {
    "host": _hostname,
    "node": _hostname,
    "hypervisor_hostname": _hostname,
    "project_id": _project,
    "tenant_id": _project,
    "user_id": _user,
    "status": _status,
    "uuid": lambda vm, _: vm.sample.uuid,
}
_NAME: Final = Parameter("name", "Part of the server's name", TEXT, text)
_FILTERS: Final = tuple(
    Parameter(known, "Only servers of exactly this", TEXT, text) for known in _EXACT
)
_TENANTS: Final = Parameter(
    "all_tenants", "Taken and ignored: a host knows them all", {"type": "boolean"}, boolean
)
_DELETED: Final = Parameter(
    "deleted", "Taken; with true there is none", {"type": "boolean"}, boolean
)


def _found(question: Question) -> tuple[Snapshot, list[Vm], str | None]:
    """Return the servers that are asked for, and the marker of the next page."""
    snapshot, query = question.poll().snapshot, question.query
    wanted = {known: query[known] for known in _EXACT if known in query}
    if "status" in wanted:
        wanted["status"] = wanted["status"].upper()
    found = [
        vm
        for vm in {vm.sample.uuid: vm for vm in snapshot.vms}.values()
        if not query.get("deleted", False)
        and query.get("name", "") in name(vm)
        and all(_EXACT[known](vm, snapshot.host_of(vm)) == value for known, value in wanted.items())
    ]
    asked, start = question.page, 0
    if asked.marker is not None:
        uuids = [vm.sample.uuid for vm in found]
        if asked.marker not in uuids:
            raise InvalidRequestError(
                f"marker [{clean(asked.marker, 80)}] not found; give a server's id"
            )
        start = uuids.index(asked.marker) + 1
    shown = found[start : start + asked.limit]
    more = start + asked.limit < len(found)
    return snapshot, shown, shown[-1].sample.uuid if more else None


def _list(question: Question) -> dict[str, Any]:
    _, found, marker = _found(question)
    listed = [{"id": vm.sample.uuid, "name": name(vm), "links": _links(vm)} for vm in found]
    return {"servers": listed, **_next(question, "/servers", marker)}


def _details(question: Question) -> dict[str, Any]:
    snapshot, found, marker = _found(question)
    servers = [_document(question, vm, snapshot.host_of(vm)) for vm in found]
    return {"servers": servers, **_next(question, "/servers/detail", marker)}


def _next(question: Asked, path: str, marker: str | None) -> dict[str, Any]:
    links = next_links(question, f"{PREFIX}{path}", marker)
    return {"servers_links": links} if links else {}


def _show(question: Asked) -> dict[str, Any]:
    return {"server": _document(question, *question.computes.server(question.path["id"]))}


def _document(question: Asked, vm: Vm, host: Host | None) -> dict[str, Any]:
    sample, instance = vm.sample, vm.sample.definition.instance
    found: dict[str, Any] = {
        "id": sample.uuid,
        "name": name(vm),
        "status": nova_state.status(sample.state),
        "tenant_id": instance and instance.project_id,
        "user_id": instance and instance.user_id,
        "OS-EXT-STS:power_state": nova_state.power_number(sample.state),
        "OS-EXT-STS:task_state": None,
        "OS-EXT-STS:vm_state": nova_state.vm_state(sample.state),
        "OS-EXT-SRV-ATTR:instance_name": sample.name,
        "OS-EXT-SRV-ATTR:host": host and host.hostname,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": host and host.hostname,
        # As for a server that boots from a volume; a host sees no addresses.
        "image": _image(vm),
        "addresses": {},
        "links": _links(vm),
    }
    if question.version >= _FLAVOR_INSIDE:
        found["flavor"] = _flavor(vm)
    if sample.state is State.CRASHED:
        fault = question.computes.server_fault(sample.uuid)
        if fault is not None:
            found["fault"] = fault
    return found


def _image(vm: Vm) -> dict[str, str] | str:
    instance = vm.sample.definition.instance
    if instance is None or instance.root_kind != "image" or instance.root_id is None:
        return ""
    return {"id": instance.root_id}


def _flavor(vm: Vm) -> dict[str, Any]:
    instance = vm.sample.definition.instance
    return {
        "original_name": instance and instance.flavor_name,
        "vcpus": flavors.vcpus(vm),
        "ram": flavors.memory_mib(vm),
        "disk": instance and instance.flavor_disk_gib,
        "ephemeral": instance and instance.flavor_ephemeral_gib,
        "swap": instance and instance.flavor_swap_mib,
    }


def _links(vm: Vm) -> list[dict[str, str]]:
    return [{"rel": "self", "href": f"{PREFIX}/servers/{vm.sample.uuid}"}]


def _diagnostics(question: Asked) -> dict[str, Any]:
    kind = "nova-2.48" if question.version >= _STANDARD_DIAGNOSTICS else "nova"
    return question.computes.diagnostics(question.path["id"], kind)


_SERVER: Final = {"type": "object", "required": ["id", "name", "status"]}
_LISTED: Final = {"type": "object", "required": ["id", "name", "links"]}
_LINKS: Final = {"servers_links": {"type": "array", "items": {"type": "object"}}}
_QUERY: Final = (*_FILTERS, _NAME, _TENANTS, _DELETED, LIMIT, MARKER)

ROUTES: Final = (
    Route(
        f"{PREFIX}/servers/{{id}}",
        "nova_server",
        "A server, as far as its host knows it",
        _show,
        one("server", _SERVER),
        in_path=(SERVER,),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        f"{PREFIX}/servers/{{id}}/diagnostics",
        "nova_diagnostics",
        "Diagnostics of a running server",
        _diagnostics,
        {"anyOf": [{"$ref": "nova-diagnostics-2.48"}, {"$ref": "nova-diagnostics"}]},
        in_path=(SERVER,),
        refusals=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    ),
)
# Of one host only: of many they take too long to collect.
LISTS: Final = (
    Route(
        f"{PREFIX}/servers",
        "nova_servers",
        "Servers, as far as their host knows them",
        _list,
        one("servers", {"type": "array", "items": _LISTED}, **_LINKS),
        query=_QUERY,
    ),
    Route(
        f"{PREFIX}/servers/detail",
        "nova_servers_detail",
        "Servers in detail",
        _details,
        one("servers", {"type": "array", "items": _SERVER}, **_LINKS),
        query=_QUERY,
    ),
)
