# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's services: listed, and enabled, disabled or forced down.

Since microversion 2.53 a change names the service by its id, before that by host and binary.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any, Final

from kvmlog.guests.sanitize import NAME_CHARACTERS, clean
from kvmlog.rpcserver.auth.caller import Role
from kvmlog.rpcserver.rest.nova.paths import PREFIX, UUIDS, one
from kvmlog.rpcserver.rest.routes import TEXT, Asked, Parameter, Question, Route, bad_request, text
from kvmlog.rpcserver.vms import changes
from kvmlog.rpcserver.vms.errors import UnknownServiceError

_FORCED_DOWN: Final = (2, 11)
_ID: Final = Parameter(
    "id",
    "The service's id; before 2.53 enable, disable, disable-log-reason or force-down",
    TEXT,
    text,
)
_HOST: Final = Parameter("host", "Only those of exactly this host", TEXT, text)
_BINARY: Final = Parameter("binary", "Only those of exactly this name", TEXT, text)
_NAMES: Final = ("host", "binary")
# By the word in the path: the members beside host and binary.
_ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "enable": (),
    "disable": (),
    "disable-log-reason": ("disabled_reason",),
    "force-down": ("forced_down",),
}


def _list(question: Asked) -> dict[str, Any]:
    found = question.computes.services(question.query.get("host"), question.query.get("binary"))
    if question.version < UUIDS:
        found = [{**one, "id": number} for number, one in enumerate(found, 1)]
    if question.version < _FORCED_DOWN:
        for one in found:
            one.pop("forced_down", None)
    return {"services": found}


def _update(question: Question) -> dict[str, Any]:
    if question.version < UUIDS:
        return _update_named(question)
    change = changes.parse(question.body)
    service = question.past.service(question.path["id"])
    return {"service": question.change(service, change)}


def _update_named(question: Question) -> dict[str, Any]:
    action, given = question.path["id"], question.body
    if action not in _ACTIONS or (action == "force-down" and question.version < _FORCED_DOWN):
        raise UnknownServiceError(
            f"there is no action {clean(action, 80)}; put one of {', '.join(_ACTIONS)}, or give "
            "microversion 2.53 and an id"
        )
    needed = _ACTIONS[action]
    names = (*_NAMES, *needed)
    for name in given:
        if name not in names:
            shown = clean(name, 80)
            raise bad_request(f"There is no member '{shown}' here; give {', '.join(names)}.")
    for name in names:
        if name not in given:
            raise bad_request(f"The member {name} is missing; give {', '.join(names)}.")
    host, binary = (_name(given, name) for name in _NAMES)
    asked: dict[str, Any] = {name: given[name] for name in needed}
    if action != "force-down":
        asked["status"] = "enabled" if action == "enable" else "disabled"
    change = changes.parse(asked)
    question.change(question.past.service_named(host, binary), change)
    return {"service": {"host": host, "binary": binary, **asked}}


def _name(given: Mapping[str, Any], name: str) -> str:
    found = given[name]
    if not isinstance(found, str) or not 0 < len(found) <= NAME_CHARACTERS:
        raise bad_request(f"{name} is no string of 1 to {NAME_CHARACTERS} characters; give one.")
    return found


# Before 2.53 with other ids, before 2.11 without forced_down.
_SERVICE: Final = {"anyOf": [{"$ref": "service-2.53"}, {"type": "object"}]}
# Before 2.53 host and binary, beside what the path asks for.
_NAMED: Final = {
    "type": "object",
    "required": list(_NAMES),
    "properties": {
        "host": TEXT,
        "binary": TEXT,
        **{name: changes.PROPERTIES[name] for name in ("disabled_reason", "forced_down")},
    },
    "additionalProperties": False,
}
_CHANGE: Final = {"anyOf": [changes.SCHEMA, _NAMED]}

ROUTES: Final = (
    Route(
        f"{PREFIX}/os-services",
        "nova_services",
        "Services of this host; up: heard of within the last minute",
        _list,
        one("services", {"type": "array", "items": _SERVICE}),
        query=(_HOST, _BINARY),
    ),
)
# Of one host only.
CHANGES: Final = (
    Route(
        f"{PREFIX}/os-services/{{id}}",
        "nova_service_update",
        "Enables, disables or forces down a service",
        _update,
        one("service", _SERVICE),
        in_path=(_ID,),
        refusals=(HTTPStatus.NOT_FOUND,),
        method=HTTPMethod.PUT,
        body=_CHANGE,
        role=Role.SWITCH,
    ),
)
