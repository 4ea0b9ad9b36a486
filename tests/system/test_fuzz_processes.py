# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged datagrams and calls to a real bridge and a real RPC server, which do not grow by them.

A part of KVMLOG_FUZZ_CASES; the rest goes through the same code in tests/unit/*/test_fuzz.py.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from kvmlog.control import udp_auth
from kvmlog.rpcserver.limits import Limits
from tests.support import fuzzing
from tests.support.bridge_process import HANG_S, Bridge, running_bridge, until, without_module
from tests.support.rpc_process import rpc_server
from tests.support.scale import FUZZ_CASES
from tests.support.users import as_root

pytestmark = [as_root, without_module]

SEED = 20_261_121
DATAGRAMS, CALLS = FUZZ_CASES // 10, FUZZ_CASES // 20
# So many, and their answers, fit into a socket's buffer; four times what the bridge reads of one.
BATCH, DATAGRAM_BYTES = 10, 4_096
GROWTH_BYTES = 4 << 20
HEADERS = {"Content-Type": "text/xml"}
ANSWER_BYTES = 1 << 16


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """One with a key."""
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text(fuzzing.KEY.hex(), encoding="ascii")
    extra = ("--slots", "1024", "--udp-key", str(key), "--udp-plain", "any")
    with running_bridge(tmp_path, *extra) as process:
        stderr = process.process.stderr
        assert stderr is not None
        log: list[str] = []
        # Read as it comes: a bridge whose log nobody takes waits.
        reader = threading.Thread(target=log.extend, args=(stderr,))
        reader.start()
        yield process
        process.process.terminate()
        assert process.process.wait(HANG_S) == 0
        reader.join()
        assert "Traceback" not in "".join(log)


class Grown:
    """Resources of a process after a first part of the work, to compare with later."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptors = fuzzing.descriptors(pid)
        self._bytes = fuzzing.resident_bytes(pid)

    def check(self) -> None:
        """Assert that a process at rest has as many descriptors as then, and hardly more memory."""
        until(lambda: fuzzing.descriptors(self._pid) == self._descriptors)
        assert fuzzing.resident_bytes(self._pid) - self._bytes < GROWTH_BYTES


def exchange(link: socket.socket, receiver: str, batch: list[bytes]) -> int:
    """Sends these, and a good command behind them; how many answers came before its own."""
    for datagram in batch:
        link.send(datagram[:DATAGRAM_BYTES])
    whole, nonce = udp_auth.format_request(fuzzing.KEY, "off", receiver, time.time_ns())
    link.send(whole)
    for count in itertools.count():
        answer = link.recv(ANSWER_BYTES)
        if udp_auth.parse_answer(fuzzing.KEY, nonce, answer) is not None:
            return count
        fuzzing.check_answer(answer)
    raise AssertionError


def test_a_bridge_survives_any_datagram_and_does_not_grow(bridge: Bridge) -> None:
    """Each is answered as documented, or not at all; the good ones between are taken."""
    receiver = f"{bridge.udp[0]}:{bridge.udp[1]}"
    made = fuzzing.datagrams(random.Random(SEED), receiver)
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(HANG_S)
        link.connect(bridge.udp)
        exchange(link, receiver, list(itertools.islice(made, BATCH)))
        grown = Grown(bridge.process.pid)
        for _ in range(DATAGRAMS // BATCH):
            answers += exchange(link, receiver, list(itertools.islice(made, BATCH)))
    assert 0 < answers < DATAGRAMS
    grown.check()


def test_a_server_survives_any_call_and_does_not_grow(bridge: Bridge) -> None:
    """Each is a result or a fault of those documented, on one connection."""
    # Statistics of a bridge that runs take up to a second, by design.
    made = (one for one in fuzzing.bodies(random.Random(SEED)) if b"kvmStatistics" not in one)
    no_limit = ("--requests-per-s", "0")
    with rpc_server(bridge.ring, bridge.switch, extra=no_limit) as server:
        grown = None
        link = HTTPConnection(server.host, server.port, timeout=HANG_S)
        with contextlib.closing(link):
            for number, body in enumerate(itertools.islice(made, CALLS)):
                link.request("POST", "/RPC2", body[: Limits().body_bytes], HEADERS)
                reply = link.getresponse()
                assert reply.status == 200, (SEED, number, body)
                fuzzing.check_reply(reply.read())
                if number == CALLS // 5:
                    grown = Grown(server.process.pid)
            assert grown is not None
            grown.check()
        assert "Traceback" not in server.stop()
