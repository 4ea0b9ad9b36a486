# SPDX-License-Identifier: GPL-2.0-or-later
"""Where notifications go: what the delivery needs of it."""

from __future__ import annotations

from typing import Protocol

from kvmlog.notify.message import Message
from kvmlog.util.errors import KvmlogError


class RefusedError(KvmlogError):
    """This message is not taken, now or later: the receiver said so."""


class UnavailableError(KvmlogError):
    """The receiver cannot be reached, or asks to be left alone for a while."""


class Target(Protocol):
    """A receiver."""

    name: str  # of the consumer of the journal: webhook, amqp
    where: str  # as people are told: without secrets

    async def send(self, message: Message) -> None:
        """Return once the receiver has it; RefusedError or UnavailableError."""

    async def close(self) -> None:
        """Let go of connections."""
