# SPDX-License-Identifier: GPL-2.0-or-later
"""Notifications to a webhook: one POST each, a CloudEvent in binary mode.

https://github.com/cloudevents/spec, "HTTP Protocol Binding", 1.0.2: attributes in headers, the
notification as JSON in the body.
"""

from __future__ import annotations

import json
import ssl
import urllib.parse
from typing import Final

import aiohttp

from kvmlog.guests.sanitize import clean
from kvmlog.notify.message import Message, Origin, document, utc
from kvmlog.notify.target import RefusedError, UnavailableError

_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, connect=10)
# Statuses below 500 that a later attempt may not get: timeout, conflict, too early, too many.
_LATER: Final = frozenset({408, 409, 425, 429})
# What a header may have of CloudEvents: printable ASCII but space, " and %.
_SAFE: Final = "".join(chr(one) for one in range(0x21, 0x7F) if chr(one) not in '"%')
_SHOWN_CHARACTERS: Final = 200


class Webhook:
    """A receiver by HTTP; url: without credentials; headers: those that prove who asks."""

    name = "webhook"

    def __init__(
        self, url: str, origin: Origin, headers: dict[str, str], context: ssl.SSLContext | None
    ) -> None:
        self.where = url
        self._origin = origin
        self._headers = headers
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> None:
        """POST it; a status of 2xx acknowledges."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, headers=self._headers)
        body = json.dumps(document(message, self._origin), ensure_ascii=False).encode()
        try:
            async with self._session.post(
                self.where,
                data=body,
                headers=event_headers(message, self._origin),
                ssl=self._context,
                # A notification follows nobody to another host.
                allow_redirects=False,
            ) as reply:
                status, reason = reply.status, clean(reply.reason or "", _SHOWN_CHARACTERS)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            why = clean(str(error), _SHOWN_CHARACTERS) or type(error).__name__
            raise UnavailableError(f"cannot be reached ({why})") from None
        if 200 <= status < 300:
            return
        if status >= 500 or status in _LATER:
            raise UnavailableError(f"answers {status} {reason}")
        if status in (401, 403, 404) or 300 <= status < 400:
            # Somebody has to set it right, here or there; what happens meanwhile is not lost.
            raise UnavailableError(f"answers {status} {reason}; check notify.webhook and its token")
        raise RefusedError(f"it answers {status} {reason}")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def event_headers(message: Message, origin: Origin) -> dict[str, str]:
    """Return the attributes of the CloudEvent."""
    attributes = {
        "specversion": "1.0",
        "id": message.id,
        "source": origin.publisher_id,
        "type": message.event_type,
        "time": utc(message.created_ns).isoformat().replace("+00:00", "Z"),
        "priority": str(message.priority),
    }
    if message.subject is not None:
        attributes["subject"] = message.subject
    headers = {
        f"ce-{name}": urllib.parse.quote(value, safe=_SAFE) for name, value in attributes.items()
    }
    return {**headers, "Content-Type": "application/json; charset=utf-8"}
