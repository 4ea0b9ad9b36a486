# SPDX-License-Identifier: GPL-2.0-or-later
"""The description of all routes, OpenAPI 3.1, made of their tables and of docs/schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import apispec

from kvmlog.history.views import table as history
from kvmlog.rpcserver.rest.nova.paths import PREFIX
from kvmlog.rpcserver.rest.problems import PROBLEM
from kvmlog.rpcserver.rest.routes import Parameter, Route
from kvmlog.vmstats.views.schemas import schema
from kvmlog.vmstats.views.table import SCHEMAS

# What any route may answer.
_ALWAYS: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do"},
    },
}
_NOVA_FAULT: Final = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": {
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    },
}


def document(routes: Iterable[Route[Any]], version: str) -> dict[str, Any]:
    """Return the description."""
    spec = apispec.APISpec(
        "kvmlog",
        version,
        "3.1.0",
        info={
            "description": "State and use of the VMs of a host, and what happened to them, in our "
            "own form and in those of OpenStack, oVirt and CloudStack. docs/json.md says who may "
            "ask, and what is refused; docs/vmstats.md, what the figures mean."
        },
        security=[{"bearer": []}, {"openstack": []}, {}],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme(
        "openstack", {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
    )
    spec.components.schema("problem", _PROBLEM)
    spec.components.schema("nova-fault", _NOVA_FAULT)
    for name in (*SCHEMAS, *history.SCHEMAS):
        _add(spec, name, schema(name))
    for route in routes:
        spec.path(route.path, operations={route.method.lower(): _operation(route)})
    made: dict[str, Any] = spec.to_dict()
    return made


def _operation(route: Route[Any]) -> dict[str, Any]:
    of_nova = route.path.startswith(PREFIX)
    fault, kind = ("nova-fault", "application/json") if of_nova else ("problem", PROBLEM)
    own = (HTTPStatus.NOT_ACCEPTABLE,) if of_nova else ()
    refusals = dict.fromkeys((*_ALWAYS, *own, *route.refusals))
    headers = [_MICROVERSION] if of_nova else []
    body = {} if route.body is None else {"requestBody": _body(route.body)}
    return {
        "operationId": route.name,
        "summary": route.about,
        "parameters": [
            *(_parameter(one, "path") for one in route.in_path),
            *(_parameter(one, "query") for one in route.query),
            *headers,
        ],
        **body,
        "responses": {
            "200": {
                "description": route.about,
                "content": {"application/json": {"schema": _linked(route.schema, "")}},
            },
            **{
                str(int(status)): {
                    "description": status.phrase,
                    "content": {kind: {"schema": _reference(fault)}},
                }
                for status in sorted(refusals)
            },
        },
    }


def _body(schema: Mapping[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _linked(schema, "")}}
    return {"required": True, "content": content}


_MICROVERSION: Final = {
    "name": "OpenStack-API-Version",
    "in": "header",
    "description": "compute X.Y, or compute latest; without it 2.1",
    "schema": {"type": "string"},
    "examples": {"hypervisors": {"value": "compute 2.53"}},
}


def _parameter(one: Parameter, where: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": one.name,
        "in": where,
        "description": one.about,
        "schema": dict(one.schema),
    }
    if where == "path":
        made["required"] = True
    if one.several:
        made["schema"] = {"type": "array", "items": dict(one.schema), "minItems": 1, "maxItems": 64}
        made["explode"] = not one.commas
    return made


def _add(spec: apispec.APISpec, name: str, found: Mapping[str, Any]) -> None:
    """Add a schema of docs/schemas, each of its definitions as one of its own."""
    for part, definition in found.get("$defs", {}).items():
        spec.components.schema(f"{name}.{part}", _linked(definition, name))
    dropped = ("$schema", "$id", "$defs")
    rest = {key: value for key, value in found.items() if key not in dropped}
    spec.components.schema(name, _linked(rest, name))


def _linked(value: Any, name: str) -> Any:
    """Return a schema with its references as they are here; name: that whose parts it means."""
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            target = value["$ref"]
            if target.startswith("#/$defs/"):
                target = f"{name}.{target.removeprefix('#/$defs/')}"
            return {**value, **_reference(target)}
        return {key: _linked(member, name) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_linked(member, name) for member in value]
    return value


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
