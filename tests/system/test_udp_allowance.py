# SPDX-License-Identifier: GPL-2.0-or-later
"""Having senders of plain datagrams looked up takes a share of the bridge's time, and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kvmlog.control.client import SwitchClient
from kvmlog.control.udp_client import UdpClient
from tests.support.bridge_process import Bridge, running_bridge, until
from tests.support.users import NOBODY, as_root, run_as

pytestmark = as_root

KEY = bytes(range(32))
USED_UP = b"which is used up; use the local socket (kvmlog switch), or sign the command with a key"

# Keeps the port argv[1] busy from a socket that waits for its answers, which are refusals.
FLOOD = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(1)
link.connect(("127.0.0.1", int(sys.argv[1])))
while True:
    link.send(b"off")
    try:
        link.recv(65536)
    except TimeoutError:
        pass
"""

# Asks argv[1] from a port that it shares with 99 others of its sockets.
SHARED = """
import socket, sys
links, port = [], 0
for _ in range(100):
    links.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    links[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    links[-1].bind(("127.0.0.1", port))
    port = links[-1].getsockname()[1]
links[-1].settimeout(60)
links[-1].connect(("127.0.0.1", int(sys.argv[1])))
links[-1].send(b"off")
print(links[-1].recv(65536).decode())
"""


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """One that takes plain commands of root and the group, and signed ones."""
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text(KEY.hex() + "\n", encoding="ascii")
    with running_bridge(tmp_path, "--udp-key", str(key), "--udp-plain", "owner") as process:
        yield process


@contextmanager
def flood(bridge: Bridge) -> Iterator[None]:
    """Another user's commands, as fast as they are refused."""
    program = ["/usr/bin/python3", "-c", FLOOD, str(bridge.udp[1])]
    with subprocess.Popen(program, user=NOBODY, group=NOBODY, extra_groups=[]) as process:
        try:
            yield
        finally:
            process.kill()


def test_what_is_used_up_refuses_everybody_but_holds_up_nobody(bridge: Bridge) -> None:
    """Counted and said; the ways out that the sentence names are open, and it comes back."""
    local = SwitchClient(str(bridge.switch))
    signed = UdpClient(f"127.0.0.1:{bridge.udp[1]}", KEY)

    def unidentified() -> int:
        return int(local.status()["commands"].get("udp", {}).get("unidentified", 0))

    with flood(bridge):
        until(lambda: unidentified() > 100)
        until(lambda: USED_UP in bridge.ask(b"off"))
        assert local.switch(on=False) == "ok off"
        assert signed.send("off") == "ok off"
    until(lambda: bridge.ask(b"off") == b"ok off")
    counts = local.status()["commands"]["udp"]
    assert counts["refused"] > 0
    _, log = bridge.stop()
    assert USED_UP.decode() in log
    assert log.count("\n") < 200


def test_a_port_of_many_sockets_is_nobodys(bridge: Bridge) -> None:
    """Not all of their owners are asked for, so none of them may switch, not even root."""
    for uid in (NOBODY, 0):
        answer = run_as(uid, SHARED, str(bridge.udp[1]))
        assert answer.startswith("error: 64 sockets or more have the port ")
        assert answer.endswith("or use kvmlog switch\n")
