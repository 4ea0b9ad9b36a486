# SPDX-License-Identifier: GPL-2.0-or-later
"""What a caller wants changed of a service, checked: as Nova's microversion 2.53 has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver import nearest
from kvmlog.rpcserver.vms.errors import InvalidChangeError

REASON_CHARACTERS: Final = 255
STATUSES: Final = ("enabled", "disabled")
MEMBERS: Final = ("status", "disabled_reason", "forced_down")


@dataclass(frozen=True)
class ServiceChange:
    """The change of a service; None: stays as it is."""

    enabled: bool | None
    disabled_reason: str | None  # with enabled False only
    forced_down: bool | None

    def __str__(self) -> str:
        words = []
        if self.enabled is not None:
            words.append(STATUSES[0] if self.enabled else STATUSES[1])
        if self.disabled_reason is not None:
            words.append(f"({self.disabled_reason!a})")
        if self.forced_down is not None:
            words.append("forced down" if self.forced_down else "no longer forced down")
        return " ".join(words)


def parse(given: Mapping[str, Any]) -> ServiceChange:
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
    return ServiceChange(enabled, reason, forced)


def _shown(value: Any) -> str:
    return clean(ascii(value), 80)
