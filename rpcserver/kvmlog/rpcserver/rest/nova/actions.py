# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's instance actions with their events, as they were observed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from kvmlog.rpcserver.rest.nova.paths import PREFIX, next_links, one
from kvmlog.rpcserver.rest.nova.servers import SERVER
from kvmlog.rpcserver.rest.routes import (
    LIMIT,
    MARKER,
    TEXT,
    TIME,
    Asked,
    Parameter,
    Route,
    moment,
    text,
)

# Since when these members are there.
_UPDATED: Final = (2, 58)
_HOSTS: Final = (2, 62)
_DETAILS: Final = (2, 84)
_REQUEST: Final = Parameter("request_id", "The action's request_id", TEXT, text)
_SINCE: Final = Parameter("changes-since", "Only those that changed then or later", TIME, moment)
_BEFORE: Final = Parameter("changes-before", "Only those that changed then or before", TIME, moment)


def _list(question: Asked) -> dict[str, Any]:
    since, before = (question.query.get(one.name) for one in (_SINCE, _BEFORE))
    uuid, asked = question.computes.server_id(question.path["id"]), question.page
    found = question.computes.actions(uuid, asked, since, before)
    links = []
    if "limit" in question.query and len(found) == asked.limit:
        path = f"{PREFIX}/servers/{uuid}/os-instance-actions"
        links = next_links(question, path, found[-1]["request_id"])
    listed = [_of_version(one, question.version) for one in found]
    return {"instanceActions": listed, **({"links": links} if links else {})}


def _show(question: Asked) -> dict[str, Any]:
    uuid = question.computes.server_id(question.path["id"])
    found = question.computes.action(uuid, question.path["request_id"])
    events = found["events"]
    for event in events:
        if question.version < _DETAILS:
            del event["details"]
        if question.version < _HOSTS:
            del event["host"], event["hostId"]
    return {"instanceAction": _of_version(found, question.version)}


def _of_version(action: dict[str, Any], version: tuple[int, int]) -> dict[str, Any]:
    if version < _UPDATED:
        del action["updated_at"]
    return action


_ACTION: Final = {"anyOf": [{"$ref": "instance-action-2.84"}, {"type": "object"}]}

ROUTES: Final = (
    Route(
        f"{PREFIX}/servers/{{id}}/os-instance-actions",
        "nova_actions",
        "What was done to a server, newest first",
        _list,
        one(
            "instanceActions",
            {"type": "array", "items": _ACTION},
            links={"type": "array", "items": {"type": "object"}},
        ),
        in_path=(SERVER,),
        query=(LIMIT, MARKER, _SINCE, _BEFORE),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    Route(
        f"{PREFIX}/servers/{{id}}/os-instance-actions/{{request_id}}",
        "nova_action",
        "One of these with its events",
        _show,
        one("instanceAction", _ACTION),
        in_path=(SERVER, _REQUEST),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
)
