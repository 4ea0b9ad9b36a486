# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server needs of its configuration to start; `kvmlog config check` asks for it too."""

from __future__ import annotations

import os
import pwd

from kvmlog.config.load import DEFAULT, Config
from kvmlog.config.problems import collect_problems
from kvmlog.rpcserver import privileges
from kvmlog.rpcserver.auth import tls
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.auth.tokens import Tokens
from kvmlog.rpcserver.http.listen import is_loopback, parse_listen
from kvmlog.util.errors import KvmlogError


def credentials(config: Config, host: str) -> Credentials:
    """What callers prove themselves with; KvmlogError when that is too little for the address."""
    found = Credentials(config)
    _check_reach(config, host)
    return found


def problems(config: Config) -> list[KvmlogError]:
    """Everything for which the server does not start, looked at as the user whom it becomes.

    Only root can do that; for anybody else it is as they see it, UnreadableError included. Whether
    the address is free, and this machine's, is not tried.
    """
    found: list[KvmlogError] = []
    user = config.rpc.user
    try:
        privileges.find(user)
    except KvmlogError as error:
        # The default one comes with the installation, and is no matter of the file.
        if config.origins["rpc.user"] != DEFAULT:
            found.append(error)
        user = privileges.STAY_ROOT
    with privileges.acting_as(user):
        return found + collect_problems(config, _address, tls.server_context, _tokens)


def is_reader(config: Config) -> bool:
    """Whether problems() sees files as the server does."""
    try:
        return os.geteuid() in (0, pwd.getpwnam(config.rpc.user).pw_uid)
    except KeyError:
        return os.geteuid() == 0


def _address(config: Config) -> None:
    host, _ = parse_listen(config.rpc.listen)
    _check_reach(config, host)


def _tokens(config: Config) -> None:
    if config.rpc.token_file:
        Tokens.read(config.rpc.token_file, config.rpc.user)


def _check_reach(config: Config, host: str) -> None:
    """KvmlogError unless callers from afar have TLS and a way to prove who they are."""
    keys = config.rpc
    if is_loopback(host):
        return
    if not keys.tls_cert and not keys.tls_key:
        raise KvmlogError(
            f"{keys.listen}: beyond loopback TLS is needed; give --tls-cert and --tls-key with "
            "--tls-ca or --token-file, or listen on 127.0.0.1:50080"
        )
    if not keys.token_file and not keys.tls_ca:
        raise KvmlogError(
            f"{keys.listen}: beyond loopback callers need a credential; give --tls-ca (client "
            "certificates) or --token-file, or listen on 127.0.0.1:50080"
        )
