# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog rpc`: serve the log to a cloud engine until a signal ends it."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kvmlog.config.load import Config, add_options
from kvmlog.config.reload import Reload
from kvmlog.config.schema.sections import KEYS
from kvmlog.history.client import Heartbeat
from kvmlog.history.model import Binary
from kvmlog.ring.reader import RingReader
from kvmlog.rpcserver import log, preflight
from kvmlog.rpcserver.auth.tokens import ROLES, print_new_token
from kvmlog.rpcserver.http.listen import parse_listen
from kvmlog.rpcserver.http.server import RpcServer
from kvmlog.rpcserver.http.work import Accounts
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.call import HistoryPaths
from kvmlog.rpcserver.service import RpcService
from kvmlog.util import privileges
from kvmlog.util.errors import KvmlogError, RingError, RingMissingError
from kvmlog.util.loop import END, next_signals, signals
from kvmlog.util.ratelimit import LogLimiter
from kvmlog.util.sdnotify import Notifier
from kvmlog.util.version import version

if TYPE_CHECKING:
    from kvmlog.rpcserver.rest.server import JsonServer

_CREDENTIAL_KEYS: Final = (
    "rpc.tls_cert",
    "rpc.tls_key",
    "rpc.tls_ca",
    "rpc.switch_names",
    "rpc.token_file",
)
_LIMIT_KEYS: Final = tuple(name for name in KEYS if name.startswith("limits."))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog rpc`: those of its keys in the configuration, and for tokens."""
    add_options(parser, "rpc")
    parser.add_argument(
        "--new-token",
        metavar="NAME",
        help="make a token, add its hash to the token file, print the token, and exit",
    )
    parser.add_argument(
        "--role",
        choices=tuple(ROLES),
        default="read",
        help="what the new token allows; switch includes read (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return 0. Raises KvmlogError when it cannot start."""
    config = Config.of(args)
    if args.new_token is not None:
        return _print_token(config, args.new_token, args.role)
    notifier = Notifier()
    host, port = parse_listen(config.rpc.listen)
    credentials = preflight.credentials(config)
    limits = Limits(requests_per_s=config.rpc.requests_per_s)
    log_sparingly = LogLimiter(log.audit, per_s=5.0, burst=100.0)
    ring = config.bridge.ring
    service = RpcService(
        ring,
        config.bridge.switch,
        config.vmstats.file,
        credentials,
        limits.depth,
        log_sparingly,
        HistoryPaths(config.history.file, config.history.socket),
        config.limits,
    )
    with (
        signals() as wake,
        RpcServer(host, port, limits, service, log_sparingly) as server,
        _json_server(config, service, server.accounts, log_sparingly) as json,
        Heartbeat(config.history.socket, Binary.RPC) as heartbeat,
    ):
        # Everything that takes root has been done: the address is bound.
        if privileges.can_drop(config.rpc.user):
            table.load_all()
        dropped = privileges.drop(config.rpc.user)
        reload = Reload("rpc", config, lambda: Config.of(args), log)

        def renew_credentials(changed: Config) -> None:
            renewed = preflight.credentials(changed)
            if (renewed.context is None) != (service.tls is None):
                raise KvmlogError("TLS cannot be switched on or off while serving; restart")
            service.credentials = renewed
            server.renew_connections()
            if json is not None:
                json.renew_connections()

        # Always, since the contents of the files may have changed.
        reload.on(*_CREDENTIAL_KEYS, apply=renew_credentials, always=True)

        def renew_limits(changed: Config) -> None:
            service.limits = changed.limits

        reload.on(*_LIMIT_KEYS, apply=renew_limits)
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        state = f"serving {server.url()} from ring {ring}"
        if json is not None:
            json.start()
            state += f", {json.url()} from {config.vmstats.file}"
        log(state)
        if dropped is not None:
            log(dropped)
        _warn_unless_readable(ring)
        heartbeat.start()
        notifier.ready(state)
        while True:
            caught = next_signals(wake, notifier.interval_s)
            if any(number in caught for number in END):
                break
            if signal.SIGHUP in caught:
                notifier.reloading()
                reload.now()
                notifier.ready(state)
            elif notifier.interval_s is not None and all(
                one.is_alive(notifier.interval_s) for one in (server, json) if one is not None
            ):
                notifier.beat()
        notifier.stopping()
        if json is not None:
            json.stop()
        server.shutdown()
        thread.join()
        server.finish_calls()
    log("stopped")
    return 0


@contextlib.contextmanager
def _json_server(
    config: Config, service: RpcService, accounts: Accounts, log_sparingly: LogLimiter
) -> Iterator[JsonServer | None]:
    """Give the server of the JSON port, bound and not yet started; None where there is none."""
    if not config.rpc.json_listen:
        yield None
        return
    # Only here: what it takes, aiohttp above all, is as large as the rest of the server.
    from kvmlog.rpcserver.rest.server import JsonServer
    from kvmlog.rpcserver.vms.documents import vms_of

    host, port = parse_listen(config.rpc.json_listen, "--json-listen")
    vms = vms_of(config.vmstats.file, config.bridge.ring)
    with JsonServer(host, port, service, vms, accounts, version(), log_sparingly) as found:
        yield found


def _warn_unless_readable(ring: str) -> None:
    """Log why this user cannot read the ring; one that is missing may come with the bridge."""
    try:
        RingReader(ring).close()
    except RingMissingError:
        return
    except RingError as error:
        log(f"{error}; until then no call that takes the ring succeeds")


def _print_token(config: Config, name: str, role: str) -> int:
    path = config.rpc.token_file
    print_new_token(path, name, role, config.rpc.user)
    log(f"{path}: token {name} added ({role}); a running server accepts it after SIGHUP")
    return 0
