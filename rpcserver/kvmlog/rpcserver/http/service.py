# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface of what is served: who may call, and what a call's body is answered with."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from types import MappingProxyType
from typing import Protocol

from kvmlog.rpcserver.http.peers import Peer

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class RefusalError(Exception):
    """A request that is refused with an HTTP status, a sentence, and headers of its own."""

    def __init__(
        self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


class StaleCredentialsError(Exception):
    """The peer was authenticated by credentials that have been replaced: it must connect again."""


class Work(Protocol):
    """What a request may take, on its caller's account; each method raises RefusalError."""

    def waiting(self) -> AbstractContextManager[None]:
        """Let others compute meanwhile: for whatever waits, within `with`."""

    def count_call(self) -> None:
        """Count a call more than the request itself."""

    def reserve(self, size: int) -> None:
        """Wait for memory to make a large reply, in bytes; it is returned once that is sent."""


class Session(Protocol):
    """An authenticated caller on one connection."""

    @property
    def rate_key(self) -> Hashable:
        """The caller, for the limit on requests; the same on each of their connections."""

    def answer(self, body: bytes, work: Work) -> Sequence[bytes]:
        """Return the reply to one call, a result or a fault, as XML in pieces.

        RefusalError, from `work` only: the caller is over their share.
        """


class Service(Protocol):
    """Service behind the server; called from several threads at once."""

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The server's side of TLS for new connections; None for plain HTTP."""

    def tidy(self) -> None:
        """Free what is not needed for now; called several times a second by a single thread."""

    def authenticate(
        self, peer: Peer, connection: socket.socket, authorization: str | None
    ) -> Session:
        """Return the caller's session; authorization: the Authorization header.

        Raises RefusalError for a peer that may not call, StaleCredentialsError.
        """
