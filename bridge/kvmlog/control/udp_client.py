# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch's client over UDP: signed commands to a bridge on another host, signed answers."""

from __future__ import annotations

import socket
import time
from typing import Final

from kvmlog.control import udp_auth
from kvmlog.control.udp_address import format_address, resolve
from kvmlog.util.errors import SwitchError

_RECEIVE_BYTES: Final = 1 << 16
_LEAST_S: Final = 0.001


class UdpClient:
    """Client of the bridge at HOST:PORT, an address of its own host, since that is signed too."""

    def __init__(self, text: str, key: bytes, timeout_s: float = 5.0) -> None:
        self.text = text
        self._key = key
        self._timeout_s = timeout_s

    def send(self, command: str) -> str:
        """Send a command and return the verified answer; SwitchError when none arrives."""
        family, address = resolve(self.text)
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            try:
                link.connect(address)
                answer = self._exchange(link, command)
                offered = udp_auth.offered_nonce(answer)
                if offered is not None:
                    # The clocks differ, or the bridge has begun later than this one's time.
                    answer = self._exchange(link, command, offered)
                return answer.decode("utf-8", "replace")
            except TimeoutError:
                raise SwitchError(
                    f"{self.text}: no answer within {self._timeout_s:g} s; is a bridge listening "
                    "there, with this key, at an address of its own (no NAT)?"
                ) from None
            except OSError as error:
                raise SwitchError(
                    f"{self.text}: cannot be reached ({error.strerror}); is a bridge listening "
                    "there (udp.listen)?"
                ) from None

    def _exchange(self, link: socket.socket, command: str, nonce: bytes | None = None) -> bytes:
        receiver = format_address(link.getpeername())
        request, nonce = udp_auth.format_request(
            self._key, command, receiver, time.time_ns(), nonce
        )
        link.send(request)
        return self._answer(link, nonce)

    def _answer(self, link: socket.socket, nonce: bytes) -> bytes:
        """Wait for the answer, ignoring datagrams that are not signed for this request."""
        end = time.monotonic() + self._timeout_s
        while True:
            link.settimeout(max(end - time.monotonic(), _LEAST_S))
            answer = udp_auth.parse_answer(self._key, nonce, link.recv(_RECEIVE_BYTES))
            if answer is not None:
                return answer
            if time.monotonic() >= end:
                raise TimeoutError
