# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tables of Nova's paths share: their prefix, microversions, pages, and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from kvmlog.rpcserver.rest.microversions import shown
from kvmlog.rpcserver.rest.routes import Asked
from kvmlog.rpcserver.vms.errors import NotServedError
from kvmlog.rpcserver.vms.past import MOST

PREFIX: Final = "/v2.1"
# Hypervisors and services have UUIDs for ids; searching is a parameter.
UUIDS: Final = (2, 53)


def one(name: str, schema: Mapping[str, Any], **more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with a member `name`, and others that may be there."""
    return {"type": "object", "required": [name], "properties": {name: schema, **more}}


def until(question: Asked, last: tuple[int, int], instead: str) -> None:
    """Refuse a path that Nova has no more; NotServedError says what is there instead."""
    if question.version > last:
        raise NotServedError(
            f"this path is served until microversion {shown(last)}, not {shown(question.version)}; "
            f"{instead}"
        )


def next_links(question: Asked, path: str, marker: str | None) -> list[dict[str, str]]:
    """Return the link to the next page; none where there is no marker of it."""
    if marker is None:
        return []
    given = {name: _as_sent(value) for name, value in question.query.items()}
    query = {**given, "limit": question.query.get("limit", MOST), "marker": marker}
    return [{"rel": "next", "href": f"{quote(path)}?{urlencode(query)}"}]


def _as_sent(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
