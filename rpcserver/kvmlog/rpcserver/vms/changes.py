# SPDX-License-Identifier: GPL-2.0-or-later
"""What a caller wants changed of a service, checked: as Nova's microversion 2.53 has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.history.protocol import Update
from kvmlog.rpcserver import nearest
from kvmlog.rpcserver.vms.errors import InvalidChangeError

# Nova's own limit.
REASON_CHARACTERS: Final = 255
STATUSES: Final = ("enabled", "disabled")
PROPERTIES: Final[Mapping[str, Any]] = {
    "status": {"type": "string", "enum": list(STATUSES)},
    "disabled_reason": {
        "type": "string",
        "description": "Why; with status disabled only",
        "minLength": 1,
        "maxLength": REASON_CHARACTERS,
        "pattern": "^[ -~]+$",
    },
    "forced_down": {"type": "boolean"},
}
MEMBERS: Final = tuple(PROPERTIES)
# What parse() takes, as JSON Schema.
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": PROPERTIES,
    "anyOf": [
        {"required": ["status"]},
        {"required": ["forced_down"], "properties": {"disabled_reason": False}},
    ],
    "if": {"required": ["disabled_reason"]},
    "then": {"properties": {"status": {"const": STATUSES[1]}}},
    "additionalProperties": False,
}


def words(change: Update) -> str:
    """Return a change for the log."""
    found = []
    if change.enabled is not None:
        found.append(STATUSES[0] if change.enabled else STATUSES[1])
    if change.disabled_reason is not None:
        found.append(f"({change.disabled_reason!a})")
    if change.forced_down is not None:
        found.append("forced down" if change.forced_down else "no longer forced down")
    return " ".join(found)


def parse(given: Mapping[str, Any]) -> Update:
    """Return the change that these members ask for; InvalidChangeError."""
    for name in given:
        if name not in MEMBERS:
            shown = clean(str(name), 80)
            raise InvalidChangeError(
                f"there is no member '{shown}'{nearest.meant(shown, MEMBERS)} here; give "
                f"{', '.join(MEMBERS)}"
            )
    status, reason = given.get("status"), given.get("disabled_reason")
    if "status" in given and status not in STATUSES:
        raise InvalidChangeError(f"status is {_shown(status)}; give one of {', '.join(STATUSES)}")
    if "disabled_reason" in given:
        if not isinstance(reason, str) or not 0 < len(reason) <= REASON_CHARACTERS:
            raise InvalidChangeError(
                f"disabled_reason is {_shown(reason)}; give a string of 1 to {REASON_CHARACTERS} "
                "characters"
            )
        if not reason.isprintable():
            raise InvalidChangeError(
                f"disabled_reason is {_shown(reason)}; give printable characters only"
            )
        if status != STATUSES[1]:
            raise InvalidChangeError("disabled_reason without status disabled; give both, or none")
    forced = given.get("forced_down")
    if "forced_down" in given and not isinstance(forced, bool):
        raise InvalidChangeError(f"forced_down is {_shown(forced)}; give true or false")
    if status is None and forced is None:
        raise InvalidChangeError("nothing to change; give status or forced_down")
    enabled = None if status is None else status == STATUSES[0]
    return Update(enabled, reason, forced)


def _shown(value: Any) -> str:
    return clean(ascii(value), 80)
