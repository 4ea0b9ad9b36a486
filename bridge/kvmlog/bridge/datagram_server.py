# SPDX-License-Identifier: GPL-2.0-or-later
"""The base of the switch's two servers: one datagram taken, one answer given."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.control import protocol
from kvmlog.util import local_socket, users
from kvmlog.util.log import log

_AUDITED: Final = (b"on", b"off", b"reset")
_SHOWN_BYTES: Final = 300


@dataclass(frozen=True)
class Datagram:
    """A received datagram."""

    data: bytes
    truncated: bool  # there was more of it
    sender: Any  # its address, as the family has it
    ancillary: list[tuple[int, int, bytes]]  # what the kernel adds: credentials, our address


class DatagramServer:
    """A bound datagram socket of the switch. Who derives binds `socket` and sets `_switch`."""

    channel: str  # under which the switch counts
    socket: socket.socket
    ancillary_bytes: int = 0
    _switch: Dispatcher

    def fileno(self) -> int:
        """Return the descriptor, for the selector."""
        return self.socket.fileno()

    def handle(self) -> None:
        """Take one datagram and answer it; count a sender that cannot be answered."""
        try:
            data, ancillary, flags, sender = self.socket.recvmsg(
                self._most_bytes(), self.ancillary_bytes
            )
        except BlockingIOError:
            return
        except OSError:
            self._switch.count(self.channel, "receive_failed")
            return
        datagram = Datagram(data, bool(flags & socket.MSG_TRUNC), sender, ancillary)
        answer = self._answer(datagram)
        if answer is None:
            return
        if not self._answerable(sender):
            self._switch.count(self.channel, "no_reply_address")
            return
        try:
            self._reply(answer, datagram)
        except OSError:
            self._switch.count(self.channel, "reply_failed")

    def _most_bytes(self) -> int:
        return protocol.limit(self.channel)

    def _answer(self, datagram: Datagram) -> bytes | None:
        """Return the answer, None where none is due. Here whoever can send may ask."""
        answer = self._switch.answer(self.channel, datagram.data, datagram.truncated)
        self._audit(datagram.data, answer, _credentials(datagram))
        return answer

    def _audit(self, command: bytes, answer: bytes | None, who: str) -> None:
        """Log one line for a command that changes something, with its answer."""
        word = command.rstrip(b"\0\r\n").partition(b" ")[0]
        if answer is not None and word in _AUDITED:
            shown = ascii(answer[:_SHOWN_BYTES].decode("utf-8", "replace"))[1:-1]
            log.audit(f"{self.channel} {who}: {word.decode()}: {shown}")

    def _reply(self, answer: bytes, datagram: Datagram) -> None:
        """Send the answer; OSError when that fails."""
        self.socket.sendto(answer, socket.MSG_DONTWAIT, datagram.sender)

    def _answerable(self, sender: Any) -> bool:
        """Return whether an answer may go to this address."""
        return True


def _credentials(datagram: Datagram) -> str:
    sender = local_socket.sender(datagram.ancillary)
    if sender is None:
        return "somebody"
    return f"{users.user_name(sender.uid)} (uid {sender.uid}, pid {sender.pid})"
