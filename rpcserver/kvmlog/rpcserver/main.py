# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog rpc`: serve the log to a cloud engine until told to stop."""

from __future__ import annotations

import argparse
import signal
import threading
from typing import Final

from kvmlog.bridge import control
from kvmlog.bridge.ring import DEFAULT_RING
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.listen import parse_listen
from kvmlog.rpcserver.log import log
from kvmlog.rpcserver.server import RpcServer

DEFAULT_LISTEN: Final = "127.0.0.1:50080"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-command's flags."""
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=DEFAULT_LISTEN,
        help="loopback address to serve on; port 0 chooses one (default %(default)s)",
    )
    parser.add_argument(
        "--ring", metavar="PATH", default=DEFAULT_RING, help="ring file (default %(default)s)"
    )
    parser.add_argument(
        "--switch",
        metavar="SOCKET",
        default=control.DEFAULT_SOCKET,
        help="the bridge's command socket (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT; returns 0. Raises KvmlogError when it cannot start."""
    host, port = parse_listen(args.listen)
    server = RpcServer(host, port, args.ring, args.switch, Limits())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        log(f"serving {server.url()} from ring {args.ring}")
        stop.wait()
        server.shutdown()
        thread.join()
        server.finish_calls()
    log("stopped")
    return 0
