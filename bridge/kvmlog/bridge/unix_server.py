# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch's local socket: a Unix datagram socket (util.local_socket)."""

from __future__ import annotations

from typing import Any

from kvmlog.bridge.datagram_server import DatagramServer
from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.control.client import WORDS
from kvmlog.util import local_socket
from kvmlog.util.local_socket import BoundSocket


class UnixServer(DatagramServer):
    """The bound socket; handle() answers one datagram. SwitchError when it cannot be had."""

    channel = "unix"
    ancillary_bytes = local_socket.CREDENTIALS_BYTES

    def __init__(self, path: str, switch: Dispatcher) -> None:
        self.path = path
        self._switch = switch
        self._bound = BoundSocket(path, WORDS)
        self.socket = self._bound.socket

    def _answerable(self, sender: Any) -> bool:
        return local_socket.is_answerable(sender)

    def is_named(self) -> bool:
        """Return whether clients find this socket by its path."""
        return self._bound.is_named()

    def close(self) -> None:
        """Close the socket and remove its file, unless another bridge has put its own there."""
        self._bound.close()
