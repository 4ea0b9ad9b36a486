# SPDX-License-Identifier: GPL-2.0-or-later
"""Authentication of a connection and its Authorization header: a Caller, or a refusal.

A token comes first, then a client certificate, then the owner of a local socket. A wrong token is
refused, whatever else the peer could show.
"""

from __future__ import annotations

import ssl
import time
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from kvmlog.rpcserver.auth import tls
from kvmlog.rpcserver.auth.caller import ALL_ROLES, Caller
from kvmlog.rpcserver.auth.tokens import Tokens
from kvmlog.rpcserver.http.peers import Peer
from kvmlog.rpcserver.http.service import RefusalError, StaleCredentialsError
from kvmlog.util import users

# What has the server's side of TLS: a socket, or an object between a transport and its protocol.
_TLS: Final = (ssl.SSLSocket, ssl.SSLObject)
_SCHEME: Final = "bearer"
_CHALLENGE: Final = MappingProxyType({"WWW-Authenticate": 'Bearer realm="kvmlog"'})


class Credentials:
    """The certificates and tokens that the configuration accepts; replaced as a whole at SIGHUP."""

    def __init__(self, keys: tls.CredentialKeys) -> None:
        """Read all files; KvmlogError when one cannot be used."""
        self.context = tls.server_context(keys)
        self._tokens = Tokens.read(keys.token_file, keys.user) if keys.token_file else Tokens()
        self._switch_names = keys.switch_names

    def caller(self, peer: Peer, connection: object, authorization: str | None) -> Caller:
        """Return who calls.

        RefusalError with 401 for a wrong or missing credential, with 403 for a right one that
        allows nothing; StaleCredentialsError for a connection whose certificate was verified
        against a CA that may have been replaced.
        """
        if authorization is not None:
            return self._by_token(peer, authorization)
        certificate = connection.getpeercert() if isinstance(connection, _TLS) else None
        if certificate and isinstance(connection, _TLS):
            # It was verified as the connection began, which may be long ago.
            if connection.context is not self.context:
                raise StaleCredentialsError
            if tls.expired(certificate, time.time()):
                raise _unauthorized("The certificate has expired; show another.")
            names = tls.names(certificate)
            allowed = tls.roles(names, self._switch_names)
            shown = tls.shown(names, self._switch_names)
            return Caller(shown, allowed, "certificate", peer.address)
        if peer.local:
            return _by_owner(peer)
        raise _unauthorized("Show a token (Authorization: Bearer) or a client certificate.")

    def _by_token(self, peer: Peer, authorization: str) -> Caller:
        scheme, _, presented = authorization.strip().partition(" ")
        token = self._tokens.find(presented.strip())
        if scheme.lower() != _SCHEME or token is None:
            raise _unauthorized("The Authorization is no token known here (Bearer TOKEN).")
        return Caller(token.name, token.roles, "token", peer.address)


def _by_owner(peer: Peer) -> Caller:
    if peer.uid is None:
        raise RefusalError(
            HTTPStatus.FORBIDDEN,
            "Whose socket this comes from cannot be told; call again, or show a token.",
        )
    how = users.standing(peer.uid)
    if not how:
        raise RefusalError(
            HTTPStatus.FORBIDDEN,
            f"{users.refusal(peer.uid)}; become a member, or show a token.",
        )
    return Caller(users.user_name(peer.uid), ALL_ROLES, how, peer.address)


def _unauthorized(sentence: str) -> RefusalError:
    return RefusalError(HTTPStatus.UNAUTHORIZED, sentence, _CHALLENGE)
