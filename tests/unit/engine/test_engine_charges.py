# SPDX-License-Identifier: GPL-2.0-or-later
"""Nobody ends tracing by asking: the engine charges its own work to it, and no command."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.bridge.udp_server import UdpServer
from kvmlog.engine.budget import Budget
from kvmlog.engine.engine import Engine
from kvmlog.engine.monitor import GuestAnnouncements, GuestMonitor
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import SourceStatus
from tests.support.cpu_time import MS, spend
from tests.support.scripted_source import ScriptedSource

SECOND_NS = 1_000 * MS
# Of a second of one CPU, where the limit is half of that: ticks and pump take far less.
TOO_MUCH_NS = 100 * MS
LIMIT_PERCENT = 5


class SlowSource(ScriptedSource):
    """Asking it takes `slow_ns` of CPU time."""

    slow_ns = 0

    def status(self) -> SourceStatus:
        spend(self.slow_ns)
        return super().status()


class Host:
    """An engine that traces on one CPU; its seconds pass when the test says so."""

    def __init__(self, writer: RingWriter) -> None:
        self.now_ns = SECOND_NS
        self.source = SlowSource()
        budget = Budget(LIMIT_PERCENT, cpus=lambda: 1, clock=lambda: self.now_ns)
        self.engine = Engine(writer, self.source, budget=budget)
        self.switch = Dispatcher(self.engine, dict)
        self.engine.start()
        self.engine.switch(on=True)

    def seconds(self, work: Callable[[], None]) -> str:
        """Twelve with this work in each; the state after them."""
        for _ in range(12):
            self.now_ns += SECOND_NS
            work()
            self.engine.tick()
        return self.engine.state()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Switched on."""
    with RingWriter(str(tmp_path / "ring"), 1024) as writer:
        started = Host(writer)
        yield started
        started.engine.stop()


@pytest.mark.parametrize("command", ["status", "guests", "pending", "nonsense"])
def test_local_commands_are_not_charged(host: Host, command: str) -> None:
    """Nor what the RPC server asks for its callers, who may only read."""

    def ask() -> None:
        host.switch.answer("unix", command.encode())

    assert host.seconds(lambda: spend(TOO_MUCH_NS, ask)) == "on"


@pytest.mark.parametrize(("plain", "word"), [("owner", b"ok status "), ("off", b"error: ")])
def test_datagrams_are_not_charged(host: Host, plain: str, word: bytes) -> None:
    """Neither the answered nor the refused ones."""
    server = UdpServer("127.0.0.1:0", host.switch, plain=plain)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        place = server.socket.getsockname()
        answers = []

        def ask() -> None:
            link.sendto(b"status", place)
            server.handle()
            answers.append(link.recv(65_536))

        assert host.seconds(lambda: spend(TOO_MUCH_NS, ask)) == "on"
    assert any(answer.startswith(word) for answer in answers)
    server.close()


def test_looking_at_the_source_is_charged(host: Host) -> None:
    """The time to ask the source, once a second, counts by itself."""
    host.source.slow_ns = TOO_MUCH_NS
    assert host.seconds(lambda: None) == "off"
    assert "% of the CPUs' time" in host.engine.budget.describe()["stopped"]


def test_looking_for_guests_is_charged(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of each tick counts."""
    watch = GuestMonitor(host.engine)
    monkeypatch.setattr(host.engine.registry, "refresh", lambda: spend(TOO_MUCH_NS))
    assert host.seconds(watch.tick) == "off"
    watch.close()


def test_choosing_new_guests_is_charged(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time to match guests counts when KVM announces them."""
    watch = GuestMonitor(host.engine)
    if watch.events is None:
        pytest.skip("this kernel tells of no VMs; test it on one with uevents")
    monkeypatch.setattr(host.engine, "match", lambda: spend(TOO_MUCH_NS))
    assert host.seconds(watch.handle) == "off"
    watch.close()


def test_taking_the_sources_word_of_guests_is_charged(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their first exits bring it."""
    monkeypatch.setattr(host.engine, "announce", lambda _: spend(TOO_MUCH_NS))
    assert host.seconds(GuestAnnouncements(host.engine).handle) == "off"
