# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's one loop: commands, ticks, signals, and the watchdog's beat."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

TICK_S: Final = 1.0
END: Final = (signal.SIGTERM, signal.SIGINT)


class Readable(Protocol):
    """Whatever the loop serves; handle() is called when it is readable, in the loop's thread."""

    def fileno(self) -> int: ...
    def handle(self) -> None: ...


class Loop:
    """Serves until a signal of END comes. reload: at SIGHUP; tick: once a second."""

    def __init__(self, tick: Callable[[], None], reload: Callable[[], None]) -> None:
        self._tick = tick
        self._reload = reload
        self._selector = selectors.DefaultSelector()

    def add(self, one: Readable) -> None:
        """Serves it from here on."""
        self._selector.register(one, selectors.EVENT_READ, one.handle)

    def replace(self, old: Readable, new: Readable) -> None:
        """Serves `new` and no longer `old`, which is still open."""
        self._selector.unregister(old)
        self.add(new)

    def run(self, wake: socket.socket) -> None:
        """Returns after a signal that ends the bridge; wake: of signals()."""
        self._selector.register(wake, selectors.EVENT_READ)
        with self._selector:
            due = time.monotonic() + TICK_S
            while True:
                for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                    if key.fileobj is not wake:
                        key.data()
                    elif self._signalled(wake):
                        return
                if time.monotonic() >= due:
                    self._tick()
                    due = time.monotonic() + TICK_S

    def _signalled(self, wake: socket.socket) -> bool:
        """Whether one of the signals that came ends the bridge; several SIGHUP reload once."""
        came = wake.recv(4096)
        if any(number in came for number in END):
            return True
        self._reload()
        return False


@contextlib.contextmanager
def signals() -> Iterator[socket.socket]:
    """A socket that carries the number of each signal of END, and SIGHUP, as a byte."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    reader.setblocking(False)
    taken = (*END, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: None) for number in taken}
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()
