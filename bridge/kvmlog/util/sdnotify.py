# SPDX-License-Identifier: GPL-2.0-or-later
"""Service notifications: sd_notify(3), with a datagram to $NOTIFY_SOCKET.

Outside a service they do nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

# How long to wait for a manager that does not take a datagram.
_SEND_S: Final = 1.0


class Notifier:
    """The manager's socket and watchdog. Not thread-safe.

    interval_s: how often beat() has to be called at least; None: there is no watchdog.
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
        self._status = ""
        # Whether a datagram could not be delivered, for the process to report at its start.
        self.failed = False

    def ready(self, status: str) -> None:
        """Report that the service serves, or has reloaded its configuration."""
        self._status = status
        self._send("READY=1", f"STATUS={status}")
        self.beat()

    def status(self, status: str) -> None:
        """Set the line in `systemctl status`; an unchanged one is not sent again."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={status}")

    def reloading(self) -> None:
        """Report that the configuration is being reloaded; ready() follows."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self) -> None:
        """Report that the service is about to end."""
        self._send("STOPPING=1", "STATUS=stopping")

    def beat(self) -> None:
        """Feed the watchdog when it is time to; not to be called while something hangs."""
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
    """Return a path, or an abstract socket's name with the leading NUL; "" for neither."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _watchdog_s(microseconds: str, pid: str) -> float | None:
    """Return the time after which a silent service is killed (sd_watchdog_enabled(3))."""
    if pid and pid != str(os.getpid()):
        return None
    with contextlib.suppress(ValueError):
        found = int(microseconds) / 1e6
        return found if found > 0 else None
    return None
