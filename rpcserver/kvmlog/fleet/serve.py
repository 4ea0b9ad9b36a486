# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog fleet serve`: serve the merged answers of many hosts until a signal ends it."""

from __future__ import annotations

import argparse
import contextlib
import signal
from typing import Final

from kvmlog.config.load import Config, add_options
from kvmlog.config.reload import Reload
from kvmlog.fleet import log
from kvmlog.util.errors import KvmlogError

_CREDENTIAL_KEYS: Final = (
    "fleet.tls_cert",
    "fleet.tls_key",
    "fleet.tls_ca",
    "fleet.token_file",
)
_SETTINGS_KEYS: Final = (
    "fleet.hosts",
    "fleet.parallel",
    "fleet.timeout_s",
    "fleet.fresh_s",
    "fleet.metrics_port",
    "fleet.host_token_file",
    "fleet.host_tls_ca",
    "fleet.host_tls_cert",
    "fleet.host_tls_key",
    "limits.owners",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog fleet serve`: those of its keys, and for tokens."""
    add_options(parser, "fleet")
    parser.add_argument(
        "--new-token",
        metavar="NAME",
        help="make a token, add its hash to the token file, print the token, and exit",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return 0. Raises KvmlogError when it cannot start."""
    config = Config.of(args)
    if args.new_token is not None:
        return _print_token(config, args.new_token)
    # Not with the module: the other commands of `kvmlog fleet` take no server.
    from kvmlog.fleet import preflight
    from kvmlog.fleet.computes import Fleet
    from kvmlog.fleet.server import FleetServer, FleetService
    from kvmlog.rpcserver.http.listen import parse_listen
    from kvmlog.rpcserver.limits import Limits
    from kvmlog.util import privileges
    from kvmlog.util.loop import END, next_signals, signals
    from kvmlog.util.ratelimit import LogLimiter
    from kvmlog.util.sdnotify import Notifier
    from kvmlog.util.version import version

    notifier = Notifier()
    keys = config.fleet
    host, port = parse_listen(keys.listen)
    service = FleetService(preflight.credentials(config))
    fleet = Fleet(preflight.settings(config))
    limits = Limits(requests_per_s=keys.requests_per_s)
    log_sparingly = LogLimiter(log.audit, per_s=5.0, burst=100.0)
    with contextlib.ExitStack() as stack:
        wake = stack.enter_context(signals())
        server = stack.enter_context(
            FleetServer(host, port, service, fleet, limits, version(), log_sparingly)
        )
        # Everything that takes root has been done: the address is bound, secrets are read.
        dropped = privileges.drop(keys.user)
        reload = Reload("fleet", config, lambda: Config.of(args), log)

        def renew_credentials(changed: Config) -> None:
            renewed = preflight.credentials(changed)
            if (renewed.context is None) != (service.tls is None):
                raise KvmlogError("TLS cannot be switched on or off while serving; restart")
            service.credentials = renewed
            server.renew_connections()

        def renew_settings(changed: Config) -> None:
            fleet.renew(preflight.settings(changed))

        # Always, since the contents of the files may have changed.
        reload.on(*_CREDENTIAL_KEYS, apply=renew_credentials, always=True)
        reload.on(*_SETTINGS_KEYS, apply=renew_settings, always=True)
        server.start()
        state = f"serving {server.url()} from {len(fleet.settings.hosts)} hosts of {keys.hosts}"
        log(state)
        if dropped is not None:
            log(dropped)
        notifier.ready(state)
        while True:
            caught = next_signals(wake, notifier.interval_s)
            if any(number in caught for number in END):
                break
            if signal.SIGHUP in caught:
                notifier.reloading()
                reload.now()
                notifier.ready(state)
            elif notifier.interval_s is not None and server.is_alive(notifier.interval_s):
                notifier.beat()
        notifier.stopping()
    log("stopped")
    return 0


def _print_token(config: Config, name: str) -> int:
    from kvmlog.rpcserver.auth.tokens import print_new_token

    path = config.fleet.token_file
    print_new_token(path, name, "read", config.fleet.user)
    log(f"{path}: token {name} added; a running server accepts it after SIGHUP")
    return 0
