# SPDX-License-Identifier: GPL-2.0-or-later
"""One caller who takes what they can get: 16 connections, one kind of attack, until killed.

python -m tests.bench.attack KIND PORT TOKEN [CA]     (CA: a PEM file, for TLS)
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from xmlrpc.client import dumps

from tests.support.rpc_process import post

CONNECTIONS: Final = 16
_READ_BYTES: Final = 1 << 16


def _records(**members: object) -> str:
    return dumps((members,), "kvmRecords")


def _multicall(calls: int, method: str, *parameters: Any) -> str:
    one = {"methodName": method, "params": list(parameters)}
    return dumps(([one] * calls,), "system.multicall")


def _nested() -> str:
    inside = "<value><array><data>" * 1_300 + "</data></array></value>" * 1_300
    return (
        "<methodCall><methodName>kvmLogSwitch</methodName>"
        f"<params><param>{inside}</param></params></methodCall>"
    )


BODIES: Final = {
    "1,024 structs": _records(count=1024, form="structs"),
    "65,536 records": _records(count=65536),
    "search of the whole ring": _records(count=1024, reason=["hlt"], slower_than_ns="1"),
    "kvmStatistics": dumps(({"by": ["guest", "vcpu", "reason"], "top": 4096},), "kvmStatistics"),
    "multicall of 64 calls": _multicall(64, "kvmLogStatus"),
    "multicall of structs": _multicall(64, "kvmRecords", {"count": 1024, "form": "structs"}),
    "64 KiB of values": dumps((["x"] * 1_600,), "kvmLogSwitch"),
    "1,300 arrays nested": _nested(),
    "status": dumps((), "kvmLogStatus"),
}
KINDS: Final = (*BODIES, "slow readers", "bodies byte by byte", "connections")


class Attacker:
    """The attacker's connections."""

    def __init__(self, port: int, token: str, context: ssl.SSLContext | None) -> None:
        self._port = port
        self._headers = f"Authorization: Bearer {token}\r\n"
        self._context = context

    def run(self, kind: str) -> None:
        """Attack without end."""
        step: Callable[[socket.socket], None]
        if kind == "slow readers":
            request, step = self._request(BODIES["65,536 records"]), self._slowly
        elif kind == "bodies byte by byte":
            request, step = self._request("x" * 60_000), self._by_bytes
        elif kind == "connections":
            request, step = b"", lambda _: None
        else:
            request, step = self._request(BODIES[kind]), self._call
        self._bytes = request
        while True:
            with contextlib.suppress(OSError, ValueError), self._connect() as link:
                step(link)

    def _request(self, body: str) -> bytes:
        found = post(body.encode(), headers=self._headers)
        return found.replace(b"Connection: close\r\n", b"")

    def _connect(self) -> socket.socket:
        link = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        if self._context is None:
            return link
        return self._context.wrap_socket(link, server_hostname="127.0.0.1")

    def _call(self, link: socket.socket) -> None:
        while True:
            link.sendall(self._bytes)
            data = link.recv(_READ_BYTES)
            if not data.startswith(b"HTTP/1.1 200"):
                # 429, as a rule: what a patient client does.
                time.sleep(0.05)
                return
            head, _, rest = data.partition(b"\r\n\r\n")
            left = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) - len(rest)
            while left > 0:
                data = link.recv(_READ_BYTES)
                if not data:
                    return
                left -= len(data)

    def _slowly(self, link: socket.socket) -> None:
        link.sendall(self._bytes)
        while link.recv(4096):
            time.sleep(0.01)

    def _by_bytes(self, link: socket.socket) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(self._bytes)):
            link.sendall(self._bytes[at : at + 1])


def main() -> int:
    """Attack until killed."""
    kind, port, token, *ca = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca[0]) if ca else None
    attacker = Attacker(int(port), token, context)
    for _ in range(CONNECTIONS):
        threading.Thread(target=attacker.run, args=(kind,)).start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
