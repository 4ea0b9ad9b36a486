# SPDX-License-Identifier: GPL-2.0-or-later
"""One notification, before it is put into the envelope of its way."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from kvmlog.util.units import NS_PER_S

_NAMESPACE: Final = uuid.UUID("0d5f0b0e-9b1c-4c67-8f0e-0c0f9f8a5b57")


class Priority(StrEnum):
    """As in oslo.messaging's envelope."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Origin:
    """The host that notifications are of."""

    host: str
    host_uuid: str

    @property
    def publisher_id(self) -> str:
        return f"kvmlog:{self.host}"

    def message_id(self, *parts: object) -> str:
        """Return an id that is the same whenever the same notification is sent again."""
        return str(uuid.uuid5(_NAMESPACE, "/".join([self.host_uuid, *map(str, parts)])))


@dataclass(frozen=True)
class Message:
    """One notification. Those of a lane are delivered in their order."""

    id: str  # a receiver that sees it twice knows it by this
    lane: str  # the VM's UUID; "": of the host
    event_type: str
    priority: Priority
    created_ns: int  # since 1970
    payload: Mapping[str, Any]

    @property
    def subject(self) -> str | None:
        """Return the VM's UUID."""
        return self.lane or None


def document(message: Message, origin: Origin) -> dict[str, Any]:
    """Return the notification as oslo.messaging's notifiers make it."""
    return {
        "message_id": message.id,
        "publisher_id": origin.publisher_id,
        "event_type": message.event_type,
        "priority": str(message.priority),
        "payload": dict(message.payload),
        "timestamp": utc(message.created_ns).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


def utc(realtime_ns: int) -> datetime:
    """Return a moment, ns since 1970, in UTC; microseconds are kept."""
    seconds, ns = divmod(realtime_ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=ns // 1_000)


def iso(realtime_ns: int | None) -> str | None:
    """Return a moment as Nova's notifications have it: 2026-11-30T12:00:00Z."""
    return None if realtime_ns is None else utc(realtime_ns).strftime("%Y-%m-%dT%H:%M:%SZ")
