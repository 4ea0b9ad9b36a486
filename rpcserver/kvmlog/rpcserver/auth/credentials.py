# SPDX-License-Identifier: GPL-2.0-or-later
"""From a connection and its Authorization header to a Caller, or to a refusal.

In this order: a token that was presented, a certificate, the owner of a local socket. A token that
is wrong is never made good by what comes after it.
"""

from __future__ import annotations

import ssl
import time
from http import HTTPStatus
from typing import Final

from kvmlog.config.load import Config
from kvmlog.rpcserver.auth import tls
from kvmlog.rpcserver.auth.caller import ALL_ROLES, Caller
from kvmlog.rpcserver.auth.peers import Peer
from kvmlog.rpcserver.auth.tokens import Tokens
from kvmlog.util import users

_SCHEME: Final = "bearer"


class StrangerError(Exception):
    """Somebody who may not call. `status`: 401 for a wrong or missing credential, 403 for a right
    one that allows nothing."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class OutdatedError(Exception):
    """A certificate that was verified by credentials which do not hold any more: connect again."""


class Credentials:
    """What the configuration lets callers prove themselves with; replaced whole at SIGHUP."""

    def __init__(self, config: Config) -> None:
        """Reads all files; KvmlogError when one cannot be used."""
        self.context = tls.server_context(config)
        keys = config.rpc
        self._tokens = Tokens.read(keys.token_file, keys.user) if keys.token_file else Tokens()
        self._switch_names = config.rpc.switch_names

    def caller(self, peer: Peer, connection: object, authorization: str | None) -> Caller:
        """Who this is; StrangerError for nobody known, OutdatedError."""
        if authorization is not None:
            return self._by_token(peer, authorization)
        certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
        if certificate and isinstance(connection, ssl.SSLSocket):
            # It was verified as the connection began, which may be long ago.
            if connection.context is not self.context:
                raise OutdatedError
            if tls.expired(certificate, time.time()):
                raise StrangerError(
                    HTTPStatus.UNAUTHORIZED, "The certificate has expired; show another."
                )
            names = tls.names(certificate)
            allowed = tls.roles(names, self._switch_names)
            return Caller(tls.shown(names), allowed, "certificate", peer.address)
        if peer.local:
            return _by_owner(peer)
        raise StrangerError(
            HTTPStatus.UNAUTHORIZED, "Show a token (Authorization: Bearer) or a client certificate."
        )

    def _by_token(self, peer: Peer, authorization: str) -> Caller:
        scheme, _, presented = authorization.strip().partition(" ")
        token = self._tokens.find(presented.strip())
        if scheme.lower() != _SCHEME or token is None:
            raise StrangerError(
                HTTPStatus.UNAUTHORIZED, "The Authorization is no token known here (Bearer TOKEN)."
            )
        return Caller(token.name, token.roles, "token", peer.address)


def _by_owner(peer: Peer) -> Caller:
    if peer.uid is None:
        raise StrangerError(
            HTTPStatus.FORBIDDEN,
            "Whose socket this comes from cannot be told; call again, or show a token.",
        )
    how = users.standing(peer.uid)
    if not how:
        raise StrangerError(
            HTTPStatus.FORBIDDEN,
            f"{users.refusal(peer.uid)}; become a member, or show a token.",
        )
    return Caller(users.user_name(peer.uid), ALL_ROLES, how, peer.address)
