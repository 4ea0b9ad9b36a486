# SPDX-License-Identifier: GPL-2.0-or-later
"""Real processes for the RPC tests: `kvmlog rpc` and other sub-commands, and raw sockets."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

KVMLOG = [sys.executable, "-m", "kvmlog.cli.main"]

# Generous bounds for a busy machine: reached only when something hangs.
START_S = 60
REPLY_S = 60


class Server:
    """A running `kvmlog rpc`, once it serves; what it writes to stderr is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.process = process
        self._stderr = process.stderr
        first = self._stderr.readline()
        found = re.search(r"serving https?://(?:\[([^]]+)]|([^:]+)):(\d+)/ from ring", first)
        assert found, f"no address in {first!r}"
        self.host, self.port = found[1] or found[2], int(found[3])
        self._lines = [first]
        self._reader = threading.Thread(target=self._lines.extend, args=(self._stderr,))
        self._reader.start()

    def client(self) -> Any:
        """Return a stock client, xmlrpc.client.ServerProxy, whose methods have no types."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return ServerProxy(f"http://{host}:{self.port}/", use_builtin_types=True)

    def connect(self) -> socket.socket:
        """Open a raw connection."""
        return socket.create_connection((self.host, self.port), timeout=REPLY_S)

    def exchange(self, data: bytes, *, end: bool = False) -> bytes:
        """Send bytes and read to the end of the connection; `end` sends an end of file first."""
        with self.connect() as connection:
            # A server that refuses early may be gone before everything is sent.
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        """End it by a signal; return all that it wrote to stderr. May be called again."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(START_S)
        finally:
            self.process.kill()
            self._reader.join()
            self._stderr.close()
        return "".join(self._lines)


def read_all(connection: socket.socket) -> bytes:
    """Read a connection until its end or reset."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            data += chunk
    return data


@contextlib.contextmanager
def rpc_server(
    ring: Path,
    switch: Path,
    listen: str = "127.0.0.1:0",
    user: int | None = None,
    extra: Sequence[str] = (),
    prefix: Sequence[str] = (),
) -> Iterator[Server]:
    """Run a server on a port of the kernel's choice; afterwards end it and check for status 0.

    user: run it as this uid, with the same number as its only group. extra: more options; prefix:
    a command that execs what follows it.
    """
    command = [
        *prefix,
        *KVMLOG,
        "rpc",
        *extra,
        "--listen",
        listen,
        "--ring",
        str(ring),
        "--switch",
        str(switch),
    ]
    # Otherwise it would become a user that need not exist here.
    command += ["--user", "root"]
    groups: list[int] | None = None if user is None else []
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, user=user, group=user, extra_groups=groups
    )
    try:
        server = Server(process)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    try:
        yield server
    finally:
        server.stop()
    assert process.returncode == 0


def post(body: bytes, *, length: str | None = None, headers: str = "") -> bytes:
    """Return a request that asks to close the connection; `length` replaces the true one."""
    size = str(len(body)) if length is None else length
    head = "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nConnection: close\r\n"
    return f"{head}{headers}Content-Length: {size}\r\n\r\n".encode() + body


def status_of(reply: bytes) -> int:
    """Return the HTTP status of a reply; 0 for none."""
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/1.1 ") else 0
