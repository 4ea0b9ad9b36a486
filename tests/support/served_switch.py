# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge's switch that answers in a thread of the test, for real servers to ask."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

from kvmlog.bridge.unix_server import UnixServer


@contextlib.contextmanager
def served(control: UnixServer) -> Iterator[None]:
    """The switch answers, in a thread, as the bridge's loop has it do."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        ends = (control.fileno(), theirs.fileno())
        while ends[1] not in select.select(ends, (), ())[0]:
            control.handle()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        ours.send(b"end")
        thread.join()
        ours.close()
        theirs.close()
        control.close()
