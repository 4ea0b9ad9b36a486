# SPDX-License-Identifier: GPL-2.0-or-later
"""The history's local socket: takes a request, has it written, and answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, Final

from kvmlog.history import log, protocol
from kvmlog.history.protocol import Request, ServiceUpdate
from kvmlog.util import local_socket, permissions, users
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import HistoryError
from kvmlog.util.local_socket import BoundSocket, Sender
from kvmlog.util.ratelimit import LogLimiter

# Requests in a row, before the loop looks at anything else.
_AT_ONCE: Final = 64


class HistoryServer(Closeable):
    """The bound socket at a path; handle() serves what has come.

    carry_out: does what a request asks for, and has it on the disk when it returns; HistoryError.
    """

    def __init__(self, path: str, carry_out: Callable[[Request], dict[str, Any]]) -> None:
        self._bound = BoundSocket(path, protocol.WORDS)
        self._carry_out = carry_out
        self._audit = LogLimiter(log.audit)

    def fileno(self) -> int:
        """Return the descriptor, for the selector."""
        return self._bound.socket.fileno()

    def handle(self) -> None:
        """Serve the datagrams that have come."""
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, flags, address = self._bound.socket.recvmsg(
                    protocol.REQUEST_BYTES, local_socket.CREDENTIALS_BYTES
                )
            except OSError:
                return  # nothing more
            answer = self._answer(
                data, bool(flags & socket.MSG_TRUNC), local_socket.sender(ancillary)
            )
            if local_socket.is_answerable(address):
                try:
                    self._bound.socket.sendto(answer, socket.MSG_DONTWAIT, address)
                except OSError:
                    continue  # it has gone, or its queue is full

    def close(self) -> None:
        self._bound.close()

    def _answer(self, data: bytes, truncated: bool, sender: Sender | None) -> bytes:
        try:
            if truncated:
                raise HistoryError(
                    f"the request is longer than {protocol.REQUEST_BYTES} bytes; give a shorter one"
                )
            if sender is None or not _may(sender):
                raise HistoryError(_refusal(sender))
            request = protocol.decode(data)
            answer = self._carry_out(request)
        except HistoryError as error:
            return json.dumps({"error": str(error)}).encode()
        if isinstance(request, ServiceUpdate):
            who = f"{users.user_name(sender.uid)} (uid {sender.uid}, pid {sender.pid})"
            self._audit(f"{who}: {request!a}")
        return json.dumps({"ok": answer}).encode()


def _may(sender: Sender) -> bool:
    """Return whether a process may ask: its user may use kvmlog, or it is in the group itself."""
    return bool(users.standing(sender.uid)) or sender.gid == permissions.group_id()


def _refusal(sender: Sender | None) -> str:
    return "nobody knows who asks" if sender is None else users.refusal(sender.uid)
