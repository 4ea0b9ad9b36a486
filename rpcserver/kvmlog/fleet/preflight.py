# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server of a fleet needs to start; `kvmlog config check` looks at it too."""

from __future__ import annotations

from kvmlog.config import owner_limits
from kvmlog.config.load import Config
from kvmlog.config.schema.defaults import DEFAULT_FLEET
from kvmlog.fleet import FleetError, hosts
from kvmlog.fleet.access import Access
from kvmlog.fleet.computes import Settings
from kvmlog.rpcserver import preflight
from kvmlog.rpcserver.auth import tls
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.util.errors import KvmlogError


def credentials(config: Config) -> Credentials:
    """Return the credentials to accept; KvmlogError when these do not suffice for the address."""
    found = Credentials(config.fleet)
    _address(config)
    return found


def settings(config: Config) -> Settings:
    """Read the list of hosts, and what they are shown; KvmlogError."""
    keys = config.fleet
    if not keys.hosts:
        raise FleetError("there is no list of hosts; give --hosts FILE, or set fleet.hosts")
    wanted = any((keys.host_tls_ca, keys.host_tls_cert, keys.host_tls_key))
    found = hosts.read(keys.hosts, tls=wanted)
    access = Access.of(
        token_file=keys.host_token_file,
        ca=keys.host_tls_ca,
        cert=keys.host_tls_cert,
        key=keys.host_tls_key,
        timeout_s=keys.timeout_s,
        tls=any(one.tls for one in found),
        user=keys.user,
    )
    return Settings(
        found,
        access,
        keys.parallel,
        keys.timeout_s,
        keys.fresh_s,
        owner_limits.parse(config.limits.owners),
        keys.metrics_port,
    )


def problems(config: Config) -> list[KvmlogError]:
    """Return everything that keeps the server from starting; nothing where there is no fleet."""
    if not config.fleet.hosts:
        return []
    return preflight.problems_as_user(config, "fleet", settings, _address, _tls, _tokens)


def _address(config: Config) -> None:
    preflight.check_address(config.fleet, config.fleet.listen, DEFAULT_FLEET)


def _tls(config: Config) -> None:
    tls.server_context(config.fleet)


def _tokens(config: Config) -> None:
    preflight.read_tokens(config.fleet)
