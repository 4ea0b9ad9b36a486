# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON server's bounds, with limits that tests need not wait for."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.config.load import Config
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.http.work import Accounts
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.rest import server as rest
from kvmlog.rpcserver.rest.routes import Question, Route
from kvmlog.rpcserver.rest.server import JsonServer
from kvmlog.rpcserver.service import RpcService
from kvmlog.rpcserver.vms.documents import Vms
from tests.support.bridge_process import until
from tests.support.rpc_process import read_all, status_of
from tests.support.users import as_root

pytestmark = as_root

LIMITS = Limits(request_s=0.3, idle_s=0.6, reply_s=0.3, queue_s=0.3, stop_s=0.3)
LARGE = b"[" + b"0," * (8 << 20) + b"0]"


class Running:
    """A server in this process, with paths /v1/slow, /v1/large and /v1/broken."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.goes_on = threading.Event()
        self.accounts = Accounts(LIMITS)
        ring, switch, path = (str(folder / name) for name in ("ring", "switch", "vms"))
        service = RpcService(
            ring, switch, path, Credentials(Config().rpc), LIMITS.depth, self.lines.append
        )
        vms = Vms(path, ring)
        self.server = JsonServer(
            "127.0.0.1", 0, service, vms, self.accounts, "1", self.lines.append
        )
        self.port = int(self.server.url().rpartition(":")[2].rstrip("/"))
        self.server.start()

    def routes(self, _version: str) -> list[Route[Question]]:
        """Return the paths, in place of the server's own."""

        def route(name: str, answer: Callable[[Question], Any]) -> Route[Question]:
            return Route(f"/v1/{name}", name, name, answer, {})

        def slow(_: Question) -> str:
            self.goes_on.wait()
            return "done"

        def large(question: Question) -> bytes:
            question.work.reserve(len(LARGE))
            return LARGE

        def broken(_: Question) -> str:
            raise RuntimeError("a defect")

        return [route("slow", slow), route("large", large), route("broken", broken)]

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(self, name: str) -> socket.socket:
        """Send a request that asks to close the connection."""
        link = self.connect()
        link.sendall(
            f"GET /v1/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        return link


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Serving; it ends whatever is under way."""
    made = Running.__new__(Running)
    monkeypatch.setattr(rest, "routes", made.routes)
    made.__init__(tmp_path)  # type: ignore[misc]
    try:
        yield made
    finally:
        made.goes_on.set()
        made.server.stop()


@pytest.mark.parametrize("sent", [b"G", b"GET /v1/slow HTTP/1.1\r\nHost: localhost\r\n"])
def test_half_a_request_is_408(running: Running, sent: bytes) -> None:
    """However often another byte comes."""
    with running.connect() as link:
        link.sendall(sent)
        reply = read_all(link)
    assert (status_of(reply), b"did not arrive within 0.3 s" in reply) == (408, True)
    assert any("refused: 408" in line for line in running.lines)


def test_an_idle_connection_ends(running: Running) -> None:
    """Without a reply, before its first request and after it."""
    with running.connect() as link:
        assert read_all(link) == b""
    with running.connect() as link:
        link.sendall(b"GET /v1/none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of(read_all(link)) == 404


def test_a_caller_computes_one_thing_at_a_time(running: Running) -> None:
    """The next waits for its turn, and is refused when none comes."""
    with running.ask("slow") as first:
        until(lambda: bool(running.server._gate._queues))
        with running.ask("slow") as second:
            reply = read_all(second)
        assert (status_of(reply), b"have fewer under way" in reply) == (429, True)
        running.goes_on.set()
        assert read_all(first).endswith(b'"done"')
    assert running.server._gate._queues == {}


def test_a_reply_that_is_not_accepted_is_given_up(running: Running) -> None:
    """Its memory is free again, and the log says whose it was."""
    with running.ask("large") as link:
        until(lambda: running.accounts.memory.held_bytes == len(LARGE))
        until(lambda: running.accounts.memory.held_bytes == 0)
        with contextlib.suppress(ConnectionError):
            assert len(read_all(link)) < len(LARGE)
    assert any("did not accept its reply" in line for line in running.lines)


def test_a_defect_is_told_to_the_log_alone(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """The caller gets a sentence; the connection lives on."""
    with running.ask("broken") as link:
        reply = read_all(link)
    assert (status_of(reply), b"the server's log has it" in reply) == (500, True)
    assert b"defect" not in reply
    assert "RuntimeError: a defect" in capsys.readouterr().err


def test_it_stops_while_a_request_is_under_way(running: Running) -> None:
    """After stop_s its connection ends; the address can be had again at once."""
    with running.ask("slow") as link:
        until(lambda: bool(running.server._gate._queues))
        running.server.stop()
        assert read_all(link) == b""
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_it_can_be_stopped_without_being_started() -> None:
    """As when another part of the process cannot start."""
    service = RpcService("r", "s", "v", Credentials(Config().rpc), 32, print)
    with JsonServer("127.0.0.1", 0, service, Vms("v", "r"), Accounts(LIMITS), "1", print) as made:
        assert made.url().startswith("http://127.0.0.1:")
