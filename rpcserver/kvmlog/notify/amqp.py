# SPDX-License-Identifier: GPL-2.0-or-later
"""Notifications over AMQP 0-9-1, as oslo.messaging's notifier with driver messagingv2 sends them.

Exchange nova (topic), routing key and queue versioned_notifications.PRIORITY, envelope
oslo.version / oslo.message, publisher confirms. aio-pika is needed: python3-aio-pika in Debian.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.notify.message import Message, Origin, document
from kvmlog.notify.target import UnavailableError
from kvmlog.util.errors import KvmlogError

EXCHANGE: Final = "nova"
TOPIC: Final = "versioned_notifications"
_TIMEOUT_S: Final = 20.0
_SHOWN_CHARACTERS: Final = 200


class MissingLibraryError(KvmlogError):
    """aio-pika is not installed."""


def library() -> Any:
    """Return aio_pika; MissingLibraryError with its package."""
    try:
        import aio_pika
    except ImportError:
        raise MissingLibraryError(
            "notify.amqp needs aio-pika; install it (apt install python3-aio-pika, or "
            "pip install 'kvmlog[amqp]')"
        ) from None
    return aio_pika


class Amqp:
    """A broker; url: with credentials; where: without."""

    name = "amqp"

    def __init__(self, url: str, where: str, origin: Origin, context: Any) -> None:
        self.where = where
        self._url = url
        self._origin = origin
        self._context = context
        self._pika = library()
        self._lock = asyncio.Lock()  # covers the making of the three below
        self._connection: Any = None
        self._exchange: Any = None
        self._bound: set[str] = set()

    async def send(self, message: Message) -> None:
        """Publish it, and return when the broker has confirmed."""
        key = f"{TOPIC}.{message.priority.lower()}"
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                exchange = await self._ready(key)
                await exchange.publish(self._envelope(message), routing_key=key, mandatory=True)
        except (*self._pika.exceptions.CONNECTION_EXCEPTIONS, TimeoutError) as error:
            await self._forget()
            why = clean(str(error), _SHOWN_CHARACTERS) or type(error).__name__
            raise UnavailableError(f"cannot be reached ({why})") from None

    def _envelope(self, message: Message) -> Any:
        inner = json.dumps(document(message, self._origin), ensure_ascii=False)
        outer = {"oslo.version": "2.0", "oslo.message": inner}
        return self._pika.Message(
            json.dumps(outer, ensure_ascii=False).encode(),
            content_type="application/json",
            content_encoding="utf-8",
            message_id=message.id,
            delivery_mode=self._pika.DeliveryMode.PERSISTENT,
        )

    async def _ready(self, key: str) -> Any:
        """Return the exchange, with a queue for this key, so that nothing waits for a consumer."""
        async with self._lock:
            if self._connection is None or self._connection.is_closed:
                self._bound.clear()
                self._connection = await self._pika.connect(self._url, ssl_context=self._context)
                self._exchange = await self._declared()
            if key not in self._bound:
                # Whoever consumes them has made it, durable or not; else they wait in this one.
                known = await self._exists("queue", key)
                channel = await self._connection.channel()
                queue = await (
                    channel.get_queue(key, ensure=False) if known else channel.declare_queue(key)
                )
                await queue.bind(EXCHANGE, routing_key=key)
                await channel.close()
                self._bound.add(key)
            return self._exchange

    async def _declared(self) -> Any:
        """Return the exchange, as it is there, or made as oslo.messaging makes it."""
        if await self._exists("exchange", EXCHANGE):
            channel = await self._connection.channel(publisher_confirms=True)
            return await channel.get_exchange(EXCHANGE, ensure=False)
        channel = await self._connection.channel(publisher_confirms=True)
        return await channel.declare_exchange(EXCHANGE, self._pika.ExchangeType.TOPIC)

    async def _exists(self, what: str, name: str) -> bool:
        # A passive declaration of what is missing closes its channel.
        channel = await self._connection.channel()
        try:
            if what == "exchange":
                await channel.get_exchange(name, ensure=True)
            else:
                await channel.get_queue(name, ensure=True)
        except self._pika.exceptions.ChannelClosed:
            return False
        await channel.close()
        return True

    async def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._forget()
