# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged datagrams to the switch, through its real sockets: an answer that it has, or none.

KVMLOG_FUZZ_CASES (10,000) of each kind; in `make soak` a hundred times as many.
"""

from __future__ import annotations

import itertools
import random
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.bridge.udp_server import UdpServer
from kvmlog.engine.engine import Engine
from kvmlog.guests.registry import GuestRegistry
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from tests.support import fuzzing
from tests.support.proc_tree import FakeProc
from tests.support.scale import FUZZ_CASES
from tests.support.scripted_source import ScriptedSource

SEED = 20_261_121
HANG_S = 60
ANSWER_BYTES = 1 << 16


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Dispatcher]:
    """Yield a dispatcher on an engine whose source is present, on a host with one guest."""
    processes = FakeProc(tmp_path / "proc")
    processes.begin(4242, 5_000, [b"qemu-system-x86_64", b"-name", b"guest=web1"])
    with RingWriter(str(tmp_path / "ring"), 1024) as writer:
        registry = GuestRegistry(str(tmp_path / "ring.guests"), root=processes.root)
        statistics = StatisticsWriter(str(tmp_path / "ring.statistics"), writer, 1)
        engine = Engine(writer, ScriptedSource(), registry, statistics)
        engine.start()
        yield Dispatcher(engine, lambda: {"pid": 7})
        engine.stop()
        statistics.close()


def test_any_datagram_is_answered_as_documented_or_not_at_all(switch: Dispatcher) -> None:
    """Datagrams over UDP, plain and signed, raise nothing and leave no descriptor open."""
    server = UdpServer("127.0.0.1:0", switch, fuzzing.KEY, plain="any")
    before = fuzzing.descriptors()
    kinds = set()
    made = fuzzing.datagrams(random.Random(SEED), server.address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", 0))
        host, port = server.address.split(":")
        link.connect((host, int(port)))
        for number, datagram in enumerate(itertools.islice(made, FUZZ_CASES)):
            link.send(datagram)
            assert select.select([server], [], [], HANG_S)[0], (SEED, number)
            server.handle()
            # On loopback an answer that was sent has come.
            if select.select([link], [], [], 0)[0]:
                answer = link.recv(ANSWER_BYTES)
                fuzzing.check_answer(answer)
                kinds.add(answer.split(b" ", 1)[0])
    assert kinds == {b"ok", b"error:", b"kvmlog1"}
    assert fuzzing.descriptors() == before
    reported = switch.status()["commands"]["udp"]
    assert reported.keys() >= {"forged", "stale", "signed", "on", "off", "not_ascii", "oversized"}
    server.close()


def test_any_command_is_answered_as_documented(switch: Dispatcher) -> None:
    """Commands with arguments, as over the local socket."""
    before = fuzzing.descriptors()
    words = set()
    made = fuzzing.commands(random.Random(SEED))
    for number, command in enumerate(itertools.islice(made, FUZZ_CASES)):
        answer = switch.answer("unix", command)
        if answer is None:
            assert command.startswith((b"ok ", b"error: ")), (SEED, number)
            continue
        fuzzing.check_answer(answer)
        words.add(answer.split(b" ", 2)[1] if answer.startswith(b"ok ") else b"error:")
    assert words == {b"on", b"off", b"status", b"pending", b"guests", b"flush", b"reset", b"error:"}
    assert fuzzing.descriptors() == before
