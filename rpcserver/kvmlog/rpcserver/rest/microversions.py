# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's microversions: which of ours a request asks for (OpenStack API-SIG, "Microversions")."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import microversion_parse

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.http.service import RefusalError

LEAST: Final = (2, 1)
MOST: Final = (2, 88)
_SERVICE: Final = "compute"
_LEGACY: Final = "X-OpenStack-Nova-API-Version"


def shown(version: tuple[int, int]) -> str:
    """Return a microversion as headers have it."""
    return f"{version[0]}.{version[1]}"


def negotiate(headers: Mapping[str, str]) -> tuple[int, int]:
    """Return the microversion to answer in: without a header the least, as in Nova.

    RefusalError: 406 for one that is not served, 400 for what is none.
    """
    asked = microversion_parse.get_version(dict(headers), _SERVICE, [_LEGACY])
    if asked is None:
        return LEAST
    if asked.lower() == "latest":
        return MOST
    try:
        found = microversion_parse.parse_version_string(asked)
        version = (int(found.major), int(found.minor))
    except (TypeError, ValueError):
        raise RefusalError(
            HTTPStatus.BAD_REQUEST,
            f"API version '{clean(asked, 40)}' is no version; give one from {shown(LEAST)} to "
            f"{shown(MOST)}, or latest.",
        ) from None
    if not LEAST <= version <= MOST:
        raise RefusalError(
            HTTPStatus.NOT_ACCEPTABLE,
            f"Version {clean(asked, 40)} is not supported by the API; the least is "
            f"{shown(LEAST)} and the most is {shown(MOST)}.",
        )
    return version


def headers_of(version: tuple[int, int]) -> dict[str, str]:
    """Return what tells a client which microversion it got."""
    return {
        "OpenStack-API-Version": f"{_SERVICE} {shown(version)}",
        _LEGACY: shown(version),
        "Vary": f"OpenStack-API-Version, {_LEGACY}",
    }
