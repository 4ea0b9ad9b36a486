# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog metrics`: serve metrics to Prometheus, and push them, until a signal ends it."""

from __future__ import annotations

import argparse
import contextlib
import signal
from typing import TYPE_CHECKING, Final

from kvmlog.config.load import Config, add_options
from kvmlog.config.reload import Reload
from kvmlog.history.client import Heartbeat
from kvmlog.history.model import Binary
from kvmlog.metrics import log, preflight
from kvmlog.metrics.preflight import MetricsError
from kvmlog.rpcserver.auth.tokens import print_new_token
from kvmlog.rpcserver.http.listen import parse_listen
from kvmlog.util import privileges
from kvmlog.util.errors import KvmlogError
from kvmlog.util.loop import END, next_signals, signals
from kvmlog.util.ratelimit import LogLimiter
from kvmlog.util.sdnotify import Notifier
from kvmlog.util.version import version

if TYPE_CHECKING:
    from kvmlog.metrics.host import HostMetrics
    from kvmlog.metrics.otlp import Pusher

_CREDENTIAL_KEYS: Final = (
    "metrics.tls_cert",
    "metrics.tls_key",
    "metrics.tls_ca",
    "metrics.token_file",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog metrics`: those of its keys, and for tokens."""
    add_options(parser, "metrics")
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
    preflight.check_purpose(config)
    notifier = Notifier()
    try:
        from kvmlog.metrics.host import HostMetrics
        from kvmlog.metrics.server import MetricsServer, MetricsService
        from kvmlog.metrics.sources import BridgeWatch, Files
    except ImportError as error:
        raise MetricsError(
            f"metrics cannot be made ({error}); install python3-prometheus-client, or "
            "kvmlog[metrics] with pip"
        ) from None
    keys = config.metrics
    service = MetricsService(preflight.credentials(config))
    headers = preflight.headers(config)
    log_sparingly = LogLimiter(log.audit, per_s=5.0, burst=100.0)
    with contextlib.ExitStack() as stack:
        wake = stack.enter_context(signals())
        files = stack.enter_context(Files(config.bridge.ring, config.vmstats.file, log))
        bridge = stack.enter_context(BridgeWatch(config.bridge.switch))
        metrics = HostMetrics(files, bridge, keys.series_most)
        server = None
        if keys.listen:
            host, port = parse_listen(keys.listen)
            server = stack.enter_context(MetricsServer(host, port, service, metrics, log_sparingly))
        pusher = _pusher(config, metrics, headers) if keys.otlp_url else None
        heartbeat = stack.enter_context(Heartbeat(config.history.socket, Binary.METRICS))
        # Everything that takes root has been done: the address is bound, secrets are read.
        dropped = privileges.drop(keys.user)
        reload = Reload("metrics", config, lambda: Config.of(args), log)

        def renew_credentials(changed: Config) -> None:
            renewed = preflight.credentials(changed)
            if (renewed.context is None) != (service.tls is None):
                raise KvmlogError("TLS cannot be switched on or off while serving; restart")
            service.credentials = renewed
            if server is not None:
                server.renew_connections()

        # Always, since the contents of the files may have changed.
        reload.on(*_CREDENTIAL_KEYS, apply=renew_credentials, always=True)
        bridge.start()
        heartbeat.start()
        doing = []
        if server is not None:
            server.start()
            doing.append(f"serving {server.url()}metrics")
        if pusher is not None:
            stack.enter_context(pusher).start()
            doing.append(f"pushing to {keys.otlp_url} every {keys.otlp_interval_s:g} s")
        state = ", ".join(doing)
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
            elif notifier.interval_s is not None and (
                server is None or server.is_alive(notifier.interval_s)
            ):
                notifier.beat()
        notifier.stopping()
    log("stopped")
    return 0


def _print_token(config: Config, name: str) -> int:
    path = config.metrics.token_file
    print_new_token(path, name, "read", config.metrics.user)
    log(f"{path}: token {name} added; a running server accepts it after SIGHUP")
    return 0


def _pusher(config: Config, metrics: HostMetrics, headers: dict[str, str]) -> Pusher:
    keys = config.metrics
    try:
        from kvmlog.metrics.otlp import Pusher
    except ImportError as error:
        raise MetricsError(
            f"metrics cannot be pushed ({error}); install kvmlog[otlp] with pip "
            "(opentelemetry-exporter-otlp-proto-http), or set no otlp_url"
        ) from None
    try:
        return Pusher(
            metrics,
            keys.otlp_url,
            keys.otlp_interval_s,
            headers,
            keys.otlp_ca,
            version(),
            log,
        )
    except (OSError, ValueError) as error:
        raise MetricsError(
            f"metrics cannot be pushed to {keys.otlp_url} ({error}); check --otlp-ca"
        ) from None
