# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of the configuration before the server starts; `kvmlog config check` runs them too."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable

from kvmlog.config.load import DEFAULT, Config
from kvmlog.config.problems import collect_problems
from kvmlog.config.schema.defaults import DEFAULT_JSON, DEFAULT_LISTEN
from kvmlog.rpcserver.auth import tls
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.auth.tls import CredentialKeys
from kvmlog.rpcserver.auth.tokens import Tokens
from kvmlog.rpcserver.http.listen import is_loopback, parse_listen
from kvmlog.util import privileges
from kvmlog.util.errors import KvmlogError


def credentials(config: Config) -> Credentials:
    """Return the credentials to accept; KvmlogError when these do not suffice for the addresses."""
    found = Credentials(config.rpc)
    _addresses(config)
    return found


def problems(config: Config) -> list[KvmlogError]:
    """Return everything that keeps the server from starting, as seen by the user it becomes.

    Only root can become that user; for anybody else it is as they see it, UnreadableError included.
    Not checked: whether the address is free, and one of this machine.
    """
    return problems_as_user(config, "rpc", _addresses, _tls, _tokens)


def problems_as_user(
    config: Config, section: str, *checks: Callable[[Config], object]
) -> list[KvmlogError]:
    """Return what these checks raise, as the user of a server's section sees files."""
    found: list[KvmlogError] = []
    user = getattr(config, section).user
    try:
        privileges.find(user)
    except KvmlogError as error:
        # The default user comes with the installation: the file is not to blame for it.
        if config.origins[f"{section}.user"] != DEFAULT:
            found.append(error)
        user = privileges.STAY_ROOT
    with privileges.acting_as(user):
        return found + collect_problems(config, *checks)


def is_reader(keys: CredentialKeys) -> bool:
    """Return whether problems() sees files as the server does."""
    try:
        return os.geteuid() in (0, pwd.getpwnam(keys.user).pw_uid)
    except KeyError:
        return os.geteuid() == 0


def check_address(
    keys: CredentialKeys, given: str, default: str, option: str = "--listen"
) -> tuple[str, int]:
    """Return host and port; KvmlogError unless remote callers have TLS and a credential."""
    host, port = parse_listen(given, option)
    _check_reach(keys, given, host, default)
    return host, port


def _addresses(config: Config) -> None:
    keys = config.rpc
    for option, given, default in (
        ("--listen", keys.listen, DEFAULT_LISTEN),
        ("--json-listen", keys.json_listen, DEFAULT_JSON),
    ):
        if given:
            check_address(keys, given, default, option)


def _tls(config: Config) -> None:
    tls.server_context(config.rpc)


def _tokens(config: Config) -> None:
    read_tokens(config.rpc)


def read_tokens(keys: CredentialKeys) -> None:
    """Read the token file, where there is one; KvmlogError."""
    if keys.token_file:
        Tokens.read(keys.token_file, keys.user)


def _check_reach(keys: CredentialKeys, given: str, host: str, default: str) -> None:
    """Raise KvmlogError unless remote callers have TLS and a way to prove who they are."""
    if is_loopback(host):
        return
    if not keys.tls_cert and not keys.tls_key:
        raise KvmlogError(
            f"{given}: beyond loopback TLS is needed; give --tls-cert and --tls-key with "
            f"--tls-ca or --token-file, or listen on {default}"
        )
    if not keys.token_file and not keys.tls_ca:
        raise KvmlogError(
            f"{given}: beyond loopback callers need a credential; give --tls-ca (client "
            f"certificates) or --token-file, or listen on {default}"
        )
