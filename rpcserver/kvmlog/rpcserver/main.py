# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog rpc`: serve the log to a cloud engine until told to stop."""

from __future__ import annotations

import argparse
import select
import signal
import socket
import threading
from typing import Final

from kvmlog.config.load import Config, add_options
from kvmlog.config.reload import Reload
from kvmlog.rpcserver import preflight, privileges
from kvmlog.rpcserver.auth.tokens import ROLES, new_token
from kvmlog.rpcserver.http.listen import parse_listen
from kvmlog.rpcserver.http.server import RpcServer
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.log import log
from kvmlog.util.errors import KvmlogError
from kvmlog.util.loop import END, signals
from kvmlog.util.sdnotify import Notifier

_CREDENTIAL_KEYS: Final = (
    "rpc.tls_cert",
    "rpc.tls_key",
    "rpc.tls_ca",
    "rpc.switch_names",
    "rpc.token_file",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kvmlog rpc`: those of its keys in the configuration."""
    add_options(parser, "rpc")
    parser.add_argument(
        "--new-token",
        metavar="NAME",
        help="make a token, add its hash to the token file, print the token, and end",
    )
    parser.add_argument(
        "--role",
        choices=tuple(ROLES),
        default="read",
        help="what the new token allows; switch allows to read too (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT; returns 0. Raises KvmlogError when it cannot start."""
    config = Config.of(args)
    if args.new_token is not None:
        return _print_token(config, args.new_token, args.role)
    notifier = Notifier()
    host, port = parse_listen(config.rpc.listen)
    credentials = preflight.credentials(config, host)
    limits = Limits(requests_per_s=config.rpc.requests_per_s)
    ring = config.bridge.ring
    with (
        signals() as wake,
        RpcServer(host, port, ring, config.bridge.switch, limits, credentials) as server,
    ):
        # Everything that takes root has been done: the address is bound.
        given_away = privileges.drop(config.rpc.user)
        reload = Reload("rpc", config, lambda: Config.of(args), log)

        def recredit(fresh: Config) -> None:
            changed = preflight.credentials(fresh, host)
            if (changed.context is None) != (server.credentials.context is None):
                raise KvmlogError("TLS is neither begun nor ended while serving; restart")
            server.recredit(changed)

        # Always: the files may have changed under their names.
        reload.on(*_CREDENTIAL_KEYS, apply=recredit, always=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        log(f"serving {server.url()} from ring {ring}")
        if given_away is not None:
            log(given_away)
        said = f"serving {server.url()} from ring {ring}"
        notifier.ready(said)
        while True:
            caught = _next(wake, notifier.interval_s)
            if any(number in caught for number in END):
                break
            if signal.SIGHUP in caught:
                notifier.reloading()
                reload.now()
                notifier.ready(said)
            elif notifier.interval_s is not None and server.turns(notifier.interval_s):
                notifier.beat()
        notifier.stopping()
        server.shutdown()
        thread.join()
        server.finish_calls()
    log("stopped")
    return 0


def _print_token(config: Config, name: str, role: str) -> int:
    path = config.rpc.token_file
    if not path:
        raise KvmlogError("--new-token needs the file it goes to; give --token-file or set it")
    print(new_token(path, name, role, config.rpc.user))
    log(f"{path}: token {name} added ({role}); a running server takes it after SIGHUP")
    return 0


def _next(wake: socket.socket, wait_s: float | None) -> bytes:
    """The signals that came, none when the watchdog's time comes first; wake: of signals().

    A descriptor, since a signal that another thread takes does not wake one that waits for a lock.
    """
    ready, _, _ = select.select([wake], [], [], wait_s)
    return wake.recv(4096) if ready else b""
