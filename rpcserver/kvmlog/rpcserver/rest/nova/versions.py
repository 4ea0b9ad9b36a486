# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's version discovery."""

from __future__ import annotations

from typing import Any, Final

from kvmlog.rpcserver.rest.microversions import LEAST, MOST, shown
from kvmlog.rpcserver.rest.nova.paths import PREFIX, one
from kvmlog.rpcserver.rest.routes import Asked, Route


def document(_: Asked) -> dict[str, Any]:
    """Serve the version discovery: which microversions there are."""
    return {
        "version": {
            "id": "v2.1",
            "status": "CURRENT",
            "version": shown(MOST),
            "min_version": shown(LEAST),
            "updated": "2013-07-23T11:33:21Z",
            "links": [{"rel": "self", "href": f"{PREFIX}/"}],
            "media-types": [
                {
                    "base": "application/json",
                    "type": "application/vnd.openstack.compute+json;version=2.1",
                }
            ],
        }
    }


_VERSION: Final = one("version", {"type": "object", "required": ["id", "version", "min_version"]})

ROUTES: Final = (
    Route(PREFIX, "nova_version", "Version discovery", document, _VERSION),
    Route(f"{PREFIX}/", "nova_version_too", "Version discovery", document, _VERSION),
)
