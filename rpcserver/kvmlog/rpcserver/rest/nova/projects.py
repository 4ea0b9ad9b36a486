# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects as OpenStack's command looks them up (Identity API v3): the owners of VMs known here.

With one endpoint for all services, `openstack usage show --project` asks for them below ours.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.rest.nova.paths import PREFIX, one
from kvmlog.rpcserver.rest.routes import TEXT, Asked, Parameter, Route, text
from kvmlog.rpcserver.vms.errors import UnknownVmError

_ID: Final = Parameter("id", "The project's id", TEXT, text)
_NAME: Final = Parameter("name", "Only those of exactly this name", TEXT, text)
_DOMAIN: Final = Parameter("domain_id", "Taken and ignored: a host knows no domains", TEXT, text)


def _known(question: Asked) -> dict[str, dict[str, Any]]:
    """Return the owners of VMs that there are or were, by id."""
    return {
        project: {
            "id": project,
            "name": name or project,
            "links": {"self": f"{PREFIX}/projects/{project}"},
        }
        for project, name in question.computes.owners().items()
    }


def _list(question: Asked) -> dict[str, Any]:
    name = question.query.get("name")
    found = _known(question).values()
    return {"projects": [one for one in found if name in (None, one["name"])]}


def _show(question: Asked) -> dict[str, Any]:
    found = _known(question).get(question.path["id"])
    if found is None:
        raise UnknownVmError(
            f"no VM known here belongs to the project {clean(question.path['id'], 80)}; list "
            "os-simple-tenant-usage"
        )
    return {"project": found}


_PROJECT: Final = {"type": "object", "required": ["id", "name"]}

ROUTES: Final = (
    Route(
        f"{PREFIX}/projects",
        "nova_projects",
        "Owners of VMs that are known here",
        _list,
        one("projects", {"type": "array", "items": _PROJECT}),
        query=(_NAME, _DOMAIN),
    ),
    Route(
        f"{PREFIX}/projects/{{id}}",
        "nova_project",
        "An owner of VMs that is known here",
        _show,
        one("project", _PROJECT),
        in_path=(_ID,),
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
)
