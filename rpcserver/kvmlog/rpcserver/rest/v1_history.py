# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of our own routes about hosts and what happened on them, /v1."""

from __future__ import annotations

from http import HTTPMethod, HTTPStatus
from typing import Any, Final

from kvmlog.rpcserver.auth.caller import Role
from kvmlog.rpcserver.rest.routes import (
    LIMIT,
    MARKER,
    TEXT,
    TIME,
    Parameter,
    Question,
    Route,
    boolean,
    moment,
    text,
)
from kvmlog.rpcserver.vms import changes, computes
from kvmlog.rpcserver.vms.past import MOST, Period

_VM: Final = Parameter("vm", "Name, UUID or pid; one that is gone by its UUID or name", TEXT, text)
_ONE_VM: Final = Parameter("vm", "Only those of this VM", TEXT, text)
_SERVICE: Final = Parameter("id", "The service's id", TEXT, text)
_REQUEST: Final = Parameter("request_id", "The action's request_id", TEXT, text)
_HOST: Final = Parameter("host", "Only those of exactly this host", TEXT, text)
_BINARY: Final = Parameter("binary", "Only those of exactly this name", TEXT, text)
_PATTERN: Final = Parameter("pattern", "Part of the host's name", TEXT, text)
_WITH_SERVERS: Final = Parameter("servers", "With the host's VMs", {"type": "boolean"}, boolean)
_SINCE: Final = Parameter("since", "Not before that", TIME, moment)
_BEFORE: Final = Parameter("before", "Not after that", TIME, moment)
_START: Final = Parameter("start", "Since when; all that is known without", TIME, moment)
_END: Final = Parameter("end", "Until when; now without", TIME, moment)
_DETAILED: Final = Parameter("detailed", "With each VM", {"type": "boolean"}, boolean)
_PROJECT: Final = Parameter("project", "Only this owner's", TEXT, text)


def _services(question: Question) -> Any:
    query = question.query
    return question.past.own_services(query.get("host"), query.get("binary"))


def _change(question: Question) -> Any:
    change = changes.parse(question.body)
    return question.change(question.past.service(question.path["id"]), change)


def _hosts(question: Question) -> Any:
    poll, past = question.poll(), question.past
    return computes.hosts(poll, past.of_hosts(poll.snapshot.hosts), past.known())


def _hypervisors(question: Question) -> Any:
    query = question.query
    return question.computes.listed(
        pattern=query.get("pattern"), with_servers=query.get("servers", False)
    )


def _statistics(question: Question) -> Any:
    return question.computes.statistics()


def _limits(question: Question) -> Any:
    return question.computes.limits(question.query.get("project"))


def _actions(question: Question) -> Any:
    query = question.query
    word = question.path.get("vm", query.get("vm"))
    uuid = None if word is None else question.vm_of(word)
    return question.past.actions(uuid, question.page, query.get("since"), query.get("before"))


def _action(question: Question) -> Any:
    uuid = question.vm_of(question.path["vm"])
    return question.past.action(uuid, question.path["request_id"])


def _faults(question: Question) -> Any:
    query = question.query
    uuid = question.vm_of(query["vm"]) if "vm" in query else None
    return question.past.faults(uuid, query.get("limit", MOST), query.get("since"))


def _usage(question: Question) -> Any:
    query = question.query
    return question.past.usage(
        Period(query.get("start"), query.get("end")),
        question.page,
        detailed=query.get("detailed", False),
        project=query.get("project"),
    ).document()


def _array(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": name}}


_MISSING: Final = (HTTPStatus.NOT_FOUND,)

ROUTES: Final = (
    Route(
        "/v1/services",
        "services",
        "Services of this host; up: heard of within the last minute",
        _services,
        _array("service"),
        query=(_HOST, _BINARY),
    ),
    Route(
        "/v1/services/{id}",
        "service_update",
        "Enables, disables or forces down a service",
        _change,
        {"$ref": "service-2.53"},
        in_path=(_SERVICE,),
        refusals=_MISSING,
        method=HTTPMethod.PUT,
        body=changes.SCHEMA,
        role=Role.SWITCH,
    ),
    Route(
        "/v1/hosts",
        "hosts",
        "Hosts of VMs, and of enabled services",
        _hosts,
        _array("host-service"),
    ),
    Route(
        "/v1/hypervisors",
        "hypervisors",
        "Hosts of VMs, as Nova lists hypervisors",
        _hypervisors,
        _array("hypervisor-listed"),
        query=(_PATTERN, _WITH_SERVERS),
        refusals=_MISSING,
    ),
    Route(
        "/v1/hypervisors/statistics",
        "hypervisor_statistics",
        "Sums over all hosts that are enabled",
        _statistics,
        {"$ref": "hypervisor-statistics"},
    ),
    Route(
        "/v1/vms/{vm}/actions",
        "actions",
        "What was done to a VM, newest first, as it was observed",
        _actions,
        _array("instance-action-2.84"),
        in_path=(_VM,),
        query=(LIMIT, MARKER, _SINCE, _BEFORE),
        refusals=_MISSING,
    ),
    Route(
        "/v1/vms/{vm}/actions/{request_id}",
        "action",
        "One of these with its events",
        _action,
        {"$ref": "instance-action-2.84"},
        in_path=(_VM, _REQUEST),
        refusals=_MISSING,
    ),
    Route(
        "/v1/actions",
        "all_actions",
        "What was done to VMs, newest first, as it was observed",
        _actions,
        _array("instance-action-2.84"),
        query=(_ONE_VM, LIMIT, MARKER, _SINCE, _BEFORE),
        refusals=_MISSING,
    ),
    Route(
        "/v1/faults",
        "faults",
        "Faults of VMs, newest first",
        _faults,
        _array("fault"),
        query=(_ONE_VM, LIMIT, _SINCE),
        refusals=_MISSING,
    ),
    Route(
        "/v1/usage",
        "usage",
        "What each owner used over a period",
        _usage,
        {
            "type": "object",
            "required": ["observed_since", "tenant_usages", "next_marker"],
            "properties": {
                "observed_since": {
                    "type": "string",
                    "description": "Before that nothing is known",
                },
                "tenant_usages": _array("tenant-usage-2.40"),
                "next_marker": {
                    "type": ["string", "null"],
                    "description": "The last instance_id of this page; null for the last page",
                },
            },
        },
        query=(_START, _END, _DETAILED, _PROJECT, LIMIT, MARKER),
    ),
    Route(
        "/v1/limits",
        "limits",
        "An owner's limits on these hosts, and what is used of them",
        _limits,
        {"$ref": "limits"},
        query=(_PROJECT,),
    ),
)
