# SPDX-License-Identifier: GPL-2.0-or-later
"""What a service tells its manager: sd_notify(3), with a datagram to $NOTIFY_SOCKET.

Outside a service all of it does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

# A manager that does not take a datagram for so long is not waited for.
_SEND_S: Final = 1.0


class Notifier:
    """The manager's socket, and its watchdog. One thread at a time.

    interval_s: beat() wants to be called at least this often; None: nobody watches.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes the manager's variables out of the environment: children are not the service."""
        self._address = _address(environment.pop("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(
            environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        )
        if not self._address:
            self.watchdog_s = None
        self.interval_s = None if self.watchdog_s is None else self.watchdog_s / 2
        self._beat = float("-inf")  # of time.monotonic()
        self._said = ""
        # Whether a datagram could not be delivered; who starts the process may look once.
        self.failed = False

    def ready(self, status: str) -> None:
        """The service serves, or has read its configuration again."""
        self._said = status
        self._send("READY=1", f"STATUS={status}")
        self.beat()

    def status(self, status: str) -> None:
        """One line for `systemctl status`; the same one again is not sent."""
        if status != self._said:
            self._said = status
            self._send(f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; ready() follows."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self) -> None:
        """The service ends by itself or because it was told to."""
        self._send("STOPPING=1", "STATUS=stopping")

    def beat(self) -> None:
        """Says that all is well, when it is time to; not called when something hangs."""
        now = time.monotonic()
        if self.interval_s is not None and now - self._beat >= self.interval_s:
            self._beat = now
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        words = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.settimeout(_SEND_S)
                link.connect(self._address)
                link.send(words.encode("utf-8", "replace"))
        except OSError:
            self.failed = True


def _address(text: str) -> str:
    """A path, or the name of an abstract socket with the leading zero; "" for neither."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _watchdog_s(microseconds: str, pid: str) -> float | None:
    """sd_watchdog_enabled(3): the time after which a silent service is killed."""
    if pid and pid != str(os.getpid()):
        return None
    with contextlib.suppress(ValueError):
        found = int(microseconds) / 1e6
        return found if found > 0 else None
    return None
