# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that cost little: one process, raw requests made beforehand, kept connections.

    python -m tests.bench.load HOST PORT CONNECTIONS SECONDS < REQUEST

sends the request over each connection again and again, as soon as the reply has come, and prints
the number of replies and the bytes of one.
"""

from __future__ import annotations

import re
import selectors
import socket
import sys
import time

_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)\r\n", re.IGNORECASE)
_BUFFER = bytearray(1 << 20)


class Link:
    """One connection, and how much of its reply is still to come."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = request
        self.left = 0

    def receive(self) -> bool:
        """Receive a part of the reply; return whether that was the last."""
        count = self.socket.recv_into(_BUFFER)
        if not self.left:
            head = bytes(_BUFFER[: min(count, 4096)])
            found = _LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200 ") or found is None:
                raise SystemExit(f"load: {head[:300]!r}")
            self.left = head.index(b"\r\n\r\n") + 4 + int(found[1])
        self.left -= count
        return self.left == 0


def main() -> int:
    """Measure and print."""
    host, port, connections, seconds = sys.argv[1:]
    request = sys.stdin.buffer.read()
    links = [Link((host, int(port)), request) for _ in range(int(connections))]
    poll = selectors.EpollSelector()
    for link in links:
        poll.register(link.socket, selectors.EVENT_READ, link)
        link.socket.sendall(request)
    replies = 0
    begin = time.monotonic()
    while time.monotonic() - begin < float(seconds):
        for key, _ in poll.select():
            if key.data.receive():
                replies += 1
                key.data.socket.sendall(request)
    print(replies / (time.monotonic() - begin))
    return 0


if __name__ == "__main__":
    sys.exit(main())
