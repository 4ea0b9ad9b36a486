# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's event loop: commands, ticks and signals."""

from __future__ import annotations

import contextlib
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

TICK_S: Final = 1.0
END: Final = (signal.SIGTERM, signal.SIGINT)


class Readable(Protocol):
    """An object that the loop serves: handle() is called in its thread when it is readable."""

    def fileno(self) -> int: ...
    def handle(self) -> None: ...


class Loop:
    """A loop that runs until a signal of END arrives.

    tick: called once a second; reload: called at SIGHUP.
    """

    def __init__(self, tick: Callable[[], None], reload: Callable[[], None]) -> None:
        self._tick = tick
        self._reload = reload
        self._selector = selectors.DefaultSelector()

    def add(self, readable: Readable) -> None:
        """Serve it from now on."""
        self._selector.register(readable, selectors.EVENT_READ, readable.handle)

    def replace(self, old: Readable, new: Readable) -> None:
        """Serve `new` instead of `old`, which is still open."""
        self._selector.unregister(old)
        self.add(new)

    def run(self, wake: socket.socket) -> None:
        """Serve until a signal ends the bridge; wake: the socket of signals()."""
        self._selector.register(wake, selectors.EVENT_READ)
        with self._selector:
            due = time.monotonic() + TICK_S
            while True:
                for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                    if key.fileobj is not wake:
                        key.data()
                    elif self._take_signals(wake):
                        return
                if time.monotonic() >= due:
                    self._tick()
                    due = time.monotonic() + TICK_S

    def _take_signals(self, wake: socket.socket) -> bool:
        """Return whether a pending signal ends the bridge; several SIGHUP reload once."""
        pending = wake.recv(4096)
        if any(number in pending for number in END):
            return True
        self._reload()
        return False


@contextlib.contextmanager
def signals() -> Iterator[socket.socket]:
    """Yield a socket that carries each signal of END, and SIGHUP, as a byte: its number."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    reader.setblocking(False)
    handled = (*END, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: None) for number in handled}
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


def next_signals(wake: socket.socket, wait_s: float | None) -> bytes:
    """Return the signals that came, none when the wait ended first; wake: from signals().

    A descriptor, since a signal taken by another thread does not wake one that waits for a lock.
    """
    ready, _, _ = select.select([wake], [], [], wait_s)
    return wake.recv(4096) if ready else b""
