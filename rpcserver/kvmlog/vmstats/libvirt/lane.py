# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection and the one thread that calls it, since any call of libvirt's may hang for ever."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import libvirt

_T = TypeVar("_T")

_KEEPALIVE_S: Final = 5
_KEEPALIVE_COUNT: Final = 3
_Work = tuple[Callable[[Any], Any], "Future[Any]"]


def _nothing(_connection: libvirt.virConnect) -> None:
    return None


class Lane:
    """Calls of one connection, one after the other, in a daemon thread.

    opened: done once the connection is there, or failed. opened_by, closed_by: called in the thread
    after opening and before closing.
    """

    def __init__(
        self,
        uri: str,
        *,
        read_only: bool = True,
        opened_by: Callable[[libvirt.virConnect], None] = _nothing,
        closed_by: Callable[[libvirt.virConnect], None] = _nothing,
    ) -> None:
        self.lost = False  # the connection is broken: no call can succeed
        self._open: Final = libvirt.openReadOnly if read_only else libvirt.open
        self._uri = uri
        self._opened_by = opened_by
        self._closed_by = closed_by
        self._connection: libvirt.virConnect | None = None
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"libvirt {uri}", daemon=True)
        self.opened: Future[None] = self.begin(self._opening)
        self._thread.start()

    def begin(self, function: Callable[[libvirt.virConnect], _T]) -> Future[_T]:
        """Call function(connection) when all before have returned.

        The future has its result, or a libvirtError.
        """
        future: Future[_T] = Future()
        self._queue.put((function, future))
        return future

    def leave(self) -> None:
        """Close the connection and end the thread, as soon as the call in it returns."""
        self._queue.put(None)

    @property
    def ended(self) -> bool:
        """Return whether the thread has ended after leave()."""
        return not self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread."""
        self._thread.join(timeout_s)

    def _opening(self, _none: Any) -> None:
        self._connection = self._open(self._uri)
        self._opened_by(self._connection)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            function, future = work
            try:
                future.set_result(function(self._connection))
            except BaseException as error:  # noqa: BLE001  # handed to who waits for it
                self.lost = self.lost or not self._is_alive()
                future.set_exception(error)
            # Domains within hold the connection.
            del work, function, future
        if self._connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                self._closed_by(self._connection)
            with contextlib.suppress(libvirt.libvirtError):
                self._connection.close()
            self._connection = None

    def _is_alive(self) -> bool:
        # A look at the socket's state, without a call to the daemon.
        with contextlib.suppress(libvirt.libvirtError):
            return self._connection is not None and self._connection.isAlive() == 1
        return False


def keep_alive(connection: libvirt.virConnect) -> None:
    """Have a connection break, and what waits for it fail, once its peer is silent for long."""
    with contextlib.suppress(libvirt.libvirtError):  # the driver has no daemon
        connection.setKeepAlive(_KEEPALIVE_S, _KEEPALIVE_COUNT)
