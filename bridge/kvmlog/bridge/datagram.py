# SPDX-License-Identifier: GPL-2.0-or-later
"""What the switch's two sockets share: one datagram taken, one answer given."""

from __future__ import annotations

import socket
from typing import Any

from kvmlog.bridge import command
from kvmlog.bridge.switch import Switch


class DatagramEnd:
    """A bound datagram socket of the switch. Who derives binds `socket` and sets `_switch`."""

    channel: str  # under which the switch counts
    socket: socket.socket
    _switch: Switch

    def fileno(self) -> int:
        """For the selector."""
        return self.socket.fileno()

    def handle(self) -> None:
        """Takes one datagram and answers it; a sender that cannot be answered is counted."""
        try:
            asked, _, flags, sender = self.socket.recvmsg(command.limit(self.channel))
        except BlockingIOError:
            return
        except OSError:
            self._switch.count(self.channel, "receive_failed")
            return
        answer = self._switch.answer(self.channel, asked, bool(flags & socket.MSG_TRUNC))
        if answer is None:
            return
        if not self._answerable(sender):
            self._switch.count(self.channel, "no_reply_address")
            return
        try:
            self.socket.sendto(answer, socket.MSG_DONTWAIT, sender)
        except OSError:
            self._switch.count(self.channel, "reply_failed")

    def _answerable(self, sender: Any) -> bool:
        """Whether an answer may go to this address."""
        return True
