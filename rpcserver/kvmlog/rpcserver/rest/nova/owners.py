# SPDX-License-Identifier: GPL-2.0-or-later
"""What Nova tells of the owners of VMs: their usage over a period, and their limits."""

from __future__ import annotations

from typing import Any, Final

from kvmlog.rpcserver.rest.nova.paths import PREFIX, next_links, one
from kvmlog.rpcserver.rest.routes import (
    LIMIT,
    MARKER,
    TEXT,
    TIME,
    Asked,
    Parameter,
    Route,
    boolean,
    moment,
    text,
)
from kvmlog.rpcserver.vms.past import Period

_START: Final = Parameter("start", "Since when; all that is known without", TIME, moment)
_END: Final = Parameter("end", "Until when; now without", TIME, moment)
_DETAILED: Final = Parameter("detailed", "With each server", {"type": "boolean"}, boolean)
_TENANT: Final = Parameter("tenant_id", "The owner's project; all of the host without", TEXT, text)
_RESERVED: Final = Parameter(
    "reserved", "Taken and ignored: nothing is reserved", {"type": "boolean"}, boolean
)
_PROJECT: Final = Parameter("project", "The owner's project", TEXT, text)


def _period(question: Asked) -> Period:
    return Period(question.query.get("start"), question.query.get("end"))


def _usages(question: Asked) -> dict[str, Any]:
    detailed = question.query.get("detailed", False)
    found = question.computes.usage(_period(question), question.page, detailed=detailed)
    links = next_links(question, f"{PREFIX}/os-simple-tenant-usage", found.next_marker)
    return {
        "tenant_usages": found.tenants,
        **({"tenant_usages_links": links} if links else {}),
    }


def _usage(question: Asked) -> dict[str, Any]:
    project = question.path["project"]
    found = question.computes.usage(
        _period(question), question.page, detailed=True, project=project
    )
    path = f"{PREFIX}/os-simple-tenant-usage/{project}"
    links = next_links(question, path, found.next_marker)
    return {
        "tenant_usage": found.tenants[0] if found.tenants else {},
        **({"tenant_usage_links": links} if links else {}),
    }


def _limits(question: Asked) -> dict[str, Any]:
    project = question.query.get("tenant_id")
    return {"limits": question.computes.limits(project)}


_LINKS: Final = {"type": "array", "items": {"type": "object"}}
_USAGE: Final = {"$ref": "tenant-usage-2.40"}

ROUTES: Final = (
    Route(
        f"{PREFIX}/os-simple-tenant-usage",
        "nova_usages",
        "What each owner used over a period",
        _usages,
        one("tenant_usages", {"type": "array", "items": _USAGE}, tenant_usages_links=_LINKS),
        query=(_START, _END, _DETAILED, LIMIT, MARKER),
    ),
    Route(
        f"{PREFIX}/os-simple-tenant-usage/{{project}}",
        "nova_usage",
        "What one owner used over a period; {} for one that is not known",
        _usage,
        one("tenant_usage", {"anyOf": [_USAGE, {"maxProperties": 0}]}, tenant_usage_links=_LINKS),
        in_path=(_PROJECT,),
        query=(_START, _END, LIMIT, MARKER),
    ),
    Route(
        f"{PREFIX}/limits",
        "nova_limits",
        "An owner's limits on this host, and what is used of them",
        _limits,
        one("limits", {"$ref": "limits"}),
        query=(_TENANT, _RESERVED),
    ),
)
