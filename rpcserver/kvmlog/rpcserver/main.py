# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog rpc`: serve the log to a cloud engine until told to stop."""

from __future__ import annotations

import argparse
import queue
import signal
import threading
from contextlib import suppress

from kvmlog.bridge.config import Config, add_options
from kvmlog.bridge.config.reload import Reload
from kvmlog.bridge.notify import Notifier
from kvmlog.rpcserver import privileges
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.listen import parse_listen
from kvmlog.rpcserver.log import log
from kvmlog.rpcserver.server import RpcServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kvmlog rpc`: those of its keys in the configuration."""
    add_options(parser, "rpc")


def run(args: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT; returns 0. Raises KvmlogError when it cannot start."""
    notifier = Notifier()
    config = Config.of(args)
    host, port = parse_listen(config.rpc.listen)
    ring = config.bridge.ring
    # Handlers run between two instructions of this thread, which SimpleQueue.put() allows.
    came: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: came.put(number))
    with RpcServer(host, port, ring, config.bridge.switch, Limits()) as server:
        # Everything that takes root has been done: the address is bound.
        given_away = privileges.drop(config.rpc.user)
        reload = Reload("rpc", config, lambda: Config.of(args), log)
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        log(f"serving {server.url()} from ring {ring}")
        if given_away is not None:
            log(given_away)
        said = f"serving {server.url()} from ring {ring}"
        notifier.ready(said)
        while True:
            caught = _next(came, notifier.interval_s)
            if caught == signal.SIGHUP:
                notifier.reloading()
                reload.now()
                notifier.ready(said)
            elif caught is not None:
                break
            elif thread.is_alive():
                notifier.beat()
        notifier.stopping()
        server.shutdown()
        thread.join()
        server.finish_calls()
    log("stopped")
    return 0


def _next(came: queue.SimpleQueue[int], wait_s: float | None) -> int | None:
    """The next signal, None when the watchdog's time comes first."""
    with suppress(queue.Empty):
        return came.get(timeout=wait_s)
    return None
