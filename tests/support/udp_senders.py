# SPDX-License-Identifier: GPL-2.0-or-later
"""Senders of plain datagrams, as programs of other users, and what the bridge counts of them."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Final

from tests.support.bridge_process import Bridge
from tests.support.users import NOBODY

# Sends argv[2] to the port argv[1] and prints the answer.
ASK: Final = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(60)
link.sendto(sys.argv[2].encode(), ("127.0.0.1", int(sys.argv[1])))
print(link.recv(65536).decode())
"""

# Sends "off" to argv[1] from the port argv[2], which others may have too, prints it, and is gone.
SEND_AND_GO: Final = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
link.bind(("127.0.0.1", int(sys.argv[2])))
link.sendto(b"off", ("127.0.0.1", int(sys.argv[1])))
print(link.getsockname()[1])
"""

_HOLD: Final = """
import socket, sys
link = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
link.bind((sys.argv[1], int(sys.argv[2])))
print(flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def holding(uid: int, host: str, port: str) -> Iterator[None]:
    """Have a user's program hold a port at one address."""
    with running(uid, _HOLD, host, port):
        yield


@contextlib.contextmanager
def running(uid: int, program: str, *arguments: str) -> Iterator[None]:
    """Run a program as a user, from the line that it prints until the end, when it is killed."""
    command = ["/usr/bin/python3", "-c", program, *arguments]
    with subprocess.Popen(
        command,
        user=uid,
        group=NOBODY,
        extra_groups=[],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            yield
        finally:
            process.kill()


def counts(bridge: Bridge) -> dict[str, int]:
    """Count the datagrams of each kind that came over UDP."""
    told = json.loads(bridge.say("status").removeprefix("ok status "))
    found: dict[str, int] = told["commands"].get("udp", {})
    return found
