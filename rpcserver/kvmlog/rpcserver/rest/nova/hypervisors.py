# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's hypervisors and hosts: the hosts of the collector's last poll."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.rest.nova.paths import PREFIX, UUIDS, next_links, one, until
from kvmlog.rpcserver.rest.routes import (
    LIMIT,
    MARKER,
    TEXT,
    Asked,
    Parameter,
    Route,
    boolean,
    text,
)
from kvmlog.rpcserver.vms.errors import InvalidRequestError
from kvmlog.vmstats.views.errors import NoHypervisorError
from kvmlog.vmstats.views.hypervisors import brief

# Since when it is so.
_STRUCTURED_CPU: Final = (2, 28)
_NO_CAPACITIES: Final = (2, 88)
# Until when there is such a path.
_WITH_CAPACITIES: Final = (2, 87)
_SEARCHED_BY_PATH: Final = (2, 52)
_HOSTS: Final = (2, 42)

_ID: Final = Parameter("id", "The hypervisor's id", TEXT, text)
_PART: Final = Parameter("pattern", "Part of the host's name", TEXT, text)
_NAME: Final = Parameter("host", "The host's name", TEXT, text)
_ZONE: Final = Parameter("zone", "Only those of this availability zone", TEXT, text)
_PATTERN: Final = Parameter("hypervisor_hostname_pattern", "Part of the host's name", TEXT, text)
_WITH_SERVERS: Final = Parameter(
    "with_servers", "List the host's servers, too", {"type": "boolean"}, boolean
)


def _found(question: Asked, **more: Any) -> list[dict[str, Any]]:
    """Return the details that are asked for."""
    kind = "nova-2.88" if question.version >= _NO_CAPACITIES else "nova-2.53"
    with_servers = question.query.get("with_servers", False)
    found = question.computes.details(kind, with_servers=with_servers, **more)
    if question.version < UUIDS:
        found = [_numbered(one, number) for number, one in enumerate(found, 1)]
    if question.version < _STRUCTURED_CPU:
        found = [{**one, "cpu_info": json.dumps(one["cpu_info"])} for one in found]
    return found


def _numbered(detail: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {**detail, "id": number, "service": {**detail["service"], "id": number}}


def _detail(question: Asked) -> dict[str, Any]:
    return _page(question, f"{PREFIX}/os-hypervisors/detail", _searched(question))


def _list(question: Asked) -> dict[str, Any]:
    found = [brief(one) for one in _searched(question)]
    return _page(question, f"{PREFIX}/os-hypervisors", found)


def _searched(question: Asked) -> list[dict[str, Any]]:
    pattern = question.query.get("hypervisor_hostname_pattern")
    if pattern is not None and {"limit", "marker"} & question.query.keys():
        raise InvalidRequestError(
            "hypervisor_hostname_pattern with limit or marker; give it by itself"
        )
    return _found(question, pattern=pattern)


def _page(question: Asked, path: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    asked, start = question.page, 0
    if asked.marker is not None:
        ids = [str(one["id"]) for one in found]
        if asked.marker not in ids:
            raise InvalidRequestError(f"marker [{clean(asked.marker, 80)}] not found; give an id")
        start = ids.index(asked.marker) + 1
    shown = list(found[start : start + asked.limit])
    more = start + asked.limit < len(found)
    links = next_links(question, path, str(shown[-1]["id"]) if more else None)
    return {"hypervisors": shown, **({"hypervisors_links": links} if links else {})}


def _show(question: Asked) -> dict[str, Any]:
    return {"hypervisor": _with_id(question)}


def _uptime(question: Asked) -> dict[str, Any]:
    until(question, _WITH_CAPACITIES, "the hypervisor itself has it")
    found = _with_id(question)
    # Of several hosts, some may be known in one of the two lists only.
    name = found["hypervisor_hostname"]
    of_name = (
        one["uptime"]
        for one in question.computes.details("nova-2.88")
        if one["hypervisor_hostname"] == name
    )
    return {"hypervisor": {**brief(found), "uptime": next(of_name, None)}}


def _with_id(question: Asked) -> dict[str, Any]:
    for found in _found(question):
        if str(found["id"]) == question.path["id"]:
            return found
    raise NoHypervisorError(
        f"compute host {clean(question.path['id'])} could not be found; list os-hypervisors"
    )


def _statistics(question: Asked) -> dict[str, Any]:
    until(question, _WITH_CAPACITIES, "add up what Placement has")
    return {"hypervisor_statistics": question.computes.statistics()}


def _search(question: Asked, *, with_servers: bool = False) -> dict[str, Any]:
    until(question, _SEARCHED_BY_PATH, "give hypervisor_hostname_pattern to os-hypervisors")
    computes = question.computes
    found = computes.listed(pattern=question.path["pattern"], with_servers=with_servers)
    numbers = {one["id"]: number for number, one in enumerate(computes.listed(), 1)}
    # One that came, or went, between the two.
    known = [one for one in found if one["id"] in numbers]
    return {"hypervisors": [{**one, "id": numbers[one["id"]]} for one in known]}


def _servers(question: Asked) -> dict[str, Any]:
    return _search(question, with_servers=True)


def _hosts(question: Asked) -> dict[str, Any]:
    until(question, _HOSTS, "list os-services")
    found = question.computes.hosts()
    zone = question.query.get("zone")
    return {"hosts": [one for one in found if zone in (None, one["zone"])]}


def _host(question: Asked) -> dict[str, Any]:
    until(question, _HOSTS, "list os-hypervisors")
    return {"host": question.computes.resources(question.path["host"])}


def _aggregates(_: Asked) -> dict[str, Any]:
    # `openstack hypervisor show` asks for it; a host knows of no aggregate.
    return {"aggregates": []}


# Before 2.53 with other ids, before 2.28 with cpu_info as a text: what a client asks for by itself.
_HYPERVISOR: Final = {
    "anyOf": [{"$ref": "hypervisor-2.88"}, {"$ref": "hypervisor-2.53"}, {"type": "object"}]
}
_LISTED: Final = {
    "type": "array",
    "items": {"anyOf": [{"$ref": "hypervisor-listed"}, {"type": "object"}]},
}
_LINKS: Final = {"hypervisors_links": {"type": "array", "items": {"type": "object"}}}
_MISSING: Final = (HTTPStatus.NOT_FOUND,)

ROUTES: Final = (
    Route(
        f"{PREFIX}/os-hypervisors",
        "nova_hypervisors",
        "Hypervisors",
        _list,
        one("hypervisors", _LISTED, **_LINKS),
        query=(_PATTERN, _WITH_SERVERS, LIMIT, MARKER),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-hypervisors/detail",
        "nova_hypervisors_detail",
        "Hypervisors in detail",
        _detail,
        one("hypervisors", {"type": "array", "items": _HYPERVISOR}, **_LINKS),
        query=(_PATTERN, _WITH_SERVERS, LIMIT, MARKER),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-hypervisors/statistics",
        "nova_hypervisor_statistics",
        "Sums over all enabled hypervisors; until 2.87",
        _statistics,
        one("hypervisor_statistics", {"$ref": "hypervisor-statistics"}),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-hypervisors/{{id}}",
        "nova_hypervisor",
        "One hypervisor in detail",
        _show,
        one("hypervisor", _HYPERVISOR),
        in_path=(_ID,),
        query=(_WITH_SERVERS,),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-hypervisors/{{id}}/uptime",
        "nova_hypervisor_uptime",
        "How long a host is up, as uptime(1) has it; until 2.87",
        _uptime,
        one("hypervisor", {"type": "object", "required": ["uptime"]}),
        in_path=(_ID,),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-hypervisors/{{pattern}}/search",
        "nova_hypervisor_search",
        "Hypervisors with this in their names; until 2.52",
        _search,
        one("hypervisors", _LISTED),
        in_path=(_PART,),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-hypervisors/{{pattern}}/servers",
        "nova_hypervisor_servers",
        "Hypervisors with this in their names, and their servers; until 2.52",
        _servers,
        one("hypervisors", _LISTED),
        in_path=(_PART,),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-hosts",
        "nova_hosts",
        "Hosts of VMs, and of enabled services; until 2.42",
        _hosts,
        one("hosts", {"type": "array", "items": {"$ref": "host-service"}}),
        query=(_ZONE,),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-hosts/{{host}}",
        "nova_host",
        "A host's resources, in total, used, and by project; until 2.42",
        _host,
        one("host", {"type": "array", "items": {"$ref": "host-resource"}}),
        in_path=(_NAME,),
        refusals=_MISSING,
    ),
    Route(
        f"{PREFIX}/os-aggregates",
        "nova_aggregates",
        "Aggregates, of which a host knows none",
        _aggregates,
        one("aggregates", {"type": "array", "maxItems": 0}),
    ),
)
