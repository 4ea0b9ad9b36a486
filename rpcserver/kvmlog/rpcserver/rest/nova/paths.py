# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tables of Nova's paths share: their prefix, microversions, pages, and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from kvmlog.rpcserver.rest.microversions import shown
from kvmlog.rpcserver.rest.routes import TEXT, Parameter, Question, integer, text
from kvmlog.rpcserver.vms.errors import NotServedError
from kvmlog.rpcserver.vms.past import MOST, Page

PREFIX: Final = "/v2.1"
# Hypervisors and services have UUIDs for ids; searching is a parameter.
UUIDS: Final = (2, 53)

LIMIT: Final = Parameter(
    "limit",
    f"How many at most; {MOST} without",
    {"type": "integer", "minimum": 1, "maximum": MOST},
    integer(1, MOST),
)
MARKER: Final = Parameter("marker", "The last one of the page before", TEXT, text)


def one(name: str, schema: Mapping[str, Any], **more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with a member `name`, and others that may be there."""
    return {"type": "object", "required": [name], "properties": {name: schema, **more}}


def until(question: Question, last: tuple[int, int], instead: str) -> None:
    """Refuse a path that Nova has no more; NotServedError says what is there instead."""
    if question.version > last:
        raise NotServedError(
            f"this path is served until microversion {shown(last)}, not {shown(question.version)}; "
            f"{instead}"
        )


def page(question: Question) -> Page:
    """Return the part of a list that is asked for."""
    query = question.query
    return Page(query.get("limit", MOST), query.get("marker"))


def next_links(question: Question, path: str, marker: str | None) -> list[dict[str, str]]:
    """Return the link to the next page; none where there is no marker of it."""
    if marker is None:
        return []
    given = {name: _as_sent(value) for name, value in question.query.items()}
    query = {**given, "limit": question.query.get("limit", MOST), "marker": marker}
    return [{"rel": "next", "href": f"{quote(path)}?{urlencode(query)}"}]


def _as_sent(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
