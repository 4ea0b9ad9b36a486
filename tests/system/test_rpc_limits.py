# SPDX-License-Identifier: GPL-2.0-or-later
"""The bounds of limits.py, made small, and how connections end: a server in this process."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import dumps, loads

import defusedxml.xmlrpc
import pytest

from kvmlog.config.load import Config
from kvmlog.ring.statistics.reader import SUFFIX
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver import log
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.auth.tokens import new_token
from kvmlog.rpcserver.http.connections import ConnectionState
from kvmlog.rpcserver.http.server import RpcServer
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.service import RpcService
from tests.support.bridge_process import HANG_S, until
from tests.support.certificates import Authority
from tests.support.records import exit_bytes
from tests.support.rpc_process import post, read_all, status_of
from tests.support.users import NOBODY, as_root

pytestmark = as_root

CALL = dumps((), "kvmLogStatus").encode()
TYPE = {"Content-Type": "text/xml"}
# Far below what the server would wait by itself: who ends later was not ended for the reason.
SOON_S = 15.0


class Serving:
    """A server whose thread accepts connections."""

    def __init__(self, ring: str, limits: Limits, config: Config) -> None:
        self.config = config
        paths = (ring, f"{ring}.switch", f"{ring}.vms")
        self.service = RpcService(*paths, Credentials(config.rpc), limits.depth, log.audit)
        self.server = RpcServer("127.0.0.1", 0, limits, self.service, log.audit)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def connect(self) -> socket.socket:
        """A raw connection, which waits no longer than SOON_S."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=SOON_S)

    def http(self, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
        """A connection that is kept."""
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOON_S)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=SOON_S, context=context)

    def states(self) -> list[ConnectionState]:
        """The states of the open connections."""
        return [one.state for one in list(self.server.connections._open)]

    def renew_credentials(self) -> None:
        """Reads them anew, as kvmlog rpc does at SIGHUP."""
        self.service.credentials = Credentials(self.config.rpc)
        self.server.renew_connections()

    def stop(self) -> None:
        """Stop the server as kvmlog rpc does; a second call does nothing."""
        if self._thread.is_alive():
            self.server.shutdown()
            self._thread.join()
            self.server.finish_calls()
            self.server.server_close()


Begin = Callable[..., Serving]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts servers: a ring with statistics, and no bridge; members of Limits as keywords."""
    path = str(tmp_path / "ring")
    running: list[Serving] = []

    def start(config: Config | None = None, ring: str = path, **limits: Any) -> Serving:
        running.append(Serving(ring, Limits(**limits), config or Config()))
        return running[-1]

    with RingWriter(path, 1024) as writer:
        StatisticsWriter(f"{path}{SUFFIX}", writer, 1).close()
        yield start
        for one in running:
            one.stop()
    defusedxml.xmlrpc.unmonkey_patch()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that certifies the server and its clients."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def client(authority: Authority) -> ssl.SSLContext:
    """A client with a certificate."""
    return authority.client(authority.issue("engine"))


@pytest.fixture
def tls(authority: Authority, client: ssl.SSLContext, tmp_path: Path) -> Config:
    """The CA of the clients stands in a file that a test may change."""
    certificate, key = authority.issue("server")
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority.certificate.read_bytes())
    rpc = dataclasses.replace(
        Config().rpc, tls_cert=str(certificate), tls_key=str(key), tls_ca=str(clients)
    )
    return dataclasses.replace(Config(), rpc=rpc)


def ask(link: http.client.HTTPConnection, headers: dict[str, str] = TYPE) -> int:
    """A call's status."""
    link.request("POST", "/RPC2", CALL, headers)
    reply = link.getresponse()
    reply.read()
    return reply.status


def test_a_handshake_that_does_not_come_is_ended(begin: Begin, tls: Config) -> None:
    """handshake_s."""
    with begin(tls, handshake_s=0.2).connect() as silent:
        assert silent.recv(1) == b""


def test_an_idle_connection_is_ended(begin: Begin) -> None:
    """idle_s, after a reply and before a first request: without a word."""
    with begin(idle_s=0.2).connect() as link:
        link.sendall(post(CALL).replace(b"Connection: close\r\n", b""))
        reply = read_all(link)
        assert reply.count(b"HTTP/1.1 ") == 1
        assert status_of(reply) == 200


def test_half_a_request_is_408(begin: Begin) -> None:
    """request_s, of which idle_s is no part."""
    with begin(request_s=0.2).connect() as link:
        link.sendall(post(CALL)[:-1])
        assert status_of(read_all(link)) == 408


def test_who_does_not_read_replies_is_ended(begin: Begin) -> None:
    """reply_s, once the kernel takes no more for them."""
    request = post(dumps((), "system.listMethods").encode())
    requests = request.replace(b"Connection: close\r\n", b"") * 100_000
    serving = begin(reply_s=0.2, requests_per_s=0.0)
    with serving.connect() as deaf, pytest.raises(ConnectionError):
        deaf.sendall(requests)


def test_root_and_others_do_not_take_each_others_places(begin: Begin, tmp_path: Path) -> None:
    """Each kind gets as many; one more of it is refused."""
    tokens = tmp_path / "tokens"
    shown = new_token(str(tokens), "engine", "read")
    program = f"""
import http.client, socket, sys
port, body, token = sys.argv[1:]
kept = []
for _ in range(2):
    link = http.client.HTTPConnection("127.0.0.1", int(port), timeout={HANG_S})
    link.request("POST", "/RPC2", body, {TYPE} | {{"Authorization": "Bearer " + token}})
    print(link.getresponse().status, flush=True)
    kept.append(link)
late = socket.create_connection(("127.0.0.1", int(port)), timeout={HANG_S})
print(late.recv(100).split()[1].decode(), flush=True)
sys.stdin.read()
"""
    rpc = dataclasses.replace(Config().rpc, token_file=str(tokens))
    serving = begin(dataclasses.replace(Config(), rpc=rpc), connections=2)
    words = ["/usr/bin/python3", "-c", program, str(serving.port), CALL.decode(), shown]
    with contextlib.ExitStack() as stack:
        for uid in (NOBODY, 0):
            holder = stack.enter_context(
                subprocess.Popen(
                    words,
                    user=uid,
                    extra_groups=[],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(holder.terminate)
            assert holder.stdout is not None
            lines = [holder.stdout.readline() for _ in range(3)]
            assert lines == ["200\n", "200\n", "503\n"]


def test_a_call_under_way_is_answered_before_the_end(begin: Begin) -> None:
    """finish_calls() waits for it; what is idle or silent ends at once."""
    serving = begin()
    body = dumps(({"over_s": 1.0},), "kvmStatistics")
    with serving.connect() as silent, contextlib.closing(serving.http(None)) as link:
        link.request("POST", "/RPC2", body, TYPE)
        until(lambda: serving.states() == [ConnectionState.IDLE, ConnectionState.BUSY])
        serving.stop()
        assert serving.states() == []
        assert silent.recv(1) == b""
        reply = link.getresponse()
        answer: Any = loads(reply.read())[0][0]
        assert (reply.status, reply.getheader("Connection")) == (200, "close")
        assert answer["exits"] == "0"


def test_new_credentials_tear_no_request(
    begin: Begin, tls: Config, authority: Authority, tmp_path: Path
) -> None:
    """One whose body is still to come is answered, and is its connection's last; idle ones end."""
    tokens = tmp_path / "tokens"
    shown = {**TYPE, "Authorization": f"Bearer {new_token(str(tokens), 'engine', 'read')}"}
    rpc = dataclasses.replace(tls.rpc, tls_ca="", token_file=str(tokens))
    serving = begin(dataclasses.replace(tls, rpc=rpc))
    context = authority.client()
    with (
        contextlib.closing(serving.http(context)) as idle,
        contextlib.closing(serving.http(context)) as link,
    ):
        assert (ask(idle, shown), ask(link, shown)) == (200, 200)
        until(lambda: serving.states() == [ConnectionState.IDLE, ConnectionState.IDLE])
        link.putrequest("POST", "/RPC2")
        for name, value in {**shown, "Content-Length": str(len(CALL))}.items():
            link.putheader(name, value)
        link.endheaders()
        until(lambda: serving.states() == [ConnectionState.IDLE, ConnectionState.BUSY])
        serving.renew_credentials()
        assert idle.sock.recv(1) == b""
        link.send(CALL)
        reply = link.getresponse()
        assert (reply.status, reply.getheader("Connection")) == (200, "close")


def test_a_handshake_with_old_credentials_counts_for_nothing(
    begin: Begin, tls: Config, client: ssl.SSLContext, tmp_path: Path
) -> None:
    """Begun before the CA went, ended after: no request of it is answered."""
    serving = begin(tls)
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    link = client.wrap_bio(received, sent, server_hostname="127.0.0.1")
    with serving.connect() as plain:
        with pytest.raises(ssl.SSLWantReadError):
            link.do_handshake()
        plain.sendall(sent.read())
        # The server's part of it: of TLS 1.3 all.
        received.write(plain.recv(65_536))
        Path(tls.rpc.tls_ca).write_bytes(Authority(tmp_path, "other").certificate.read_bytes())
        serving.renew_credentials()
        while True:
            try:
                link.do_handshake()
                break
            except ssl.SSLWantReadError:
                received.write(plain.recv(65_536) or pytest.fail("torn"))
        link.write(post(CALL))
        plain.sendall(sent.read())
        received.write(read_all(plain))
        received.write_eof()
        with contextlib.suppress(ssl.SSLError):
            assert link.read() == b""


def test_a_certificates_end_counts_on_a_connection_that_began_before(
    begin: Begin, tls: Config, client: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401 from then on; only the clock is moved."""
    serving = begin(tls)
    with contextlib.closing(serving.http(client)) as link:
        assert ask(link) == 200
        late = time.time() + 2 * 86_400
        monkeypatch.setattr(time, "time", lambda: late)
        assert ask(link) == 401


def test_a_call_that_waits_keeps_nobody_from_computing(begin: Begin) -> None:
    """Others of the same caller use the only turn there is meanwhile."""
    serving = begin(turns=1)
    body = dumps(({"over_s": 2.0},), "kvmStatistics")
    with (
        contextlib.closing(serving.http(None)) as waiting,
        contextlib.closing(serving.http(None)) as link,
    ):
        waiting.request("POST", "/RPC2", body, TYPE)
        until(lambda: ConnectionState.BUSY in serving.states())
        assert [ask(link) for _ in range(20)] == [200] * 20
        assert ConnectionState.BUSY in serving.states()
        assert waiting.getresponse().status == 200


def test_replies_that_nobody_reads_take_no_more_than_their_memory(
    begin: Begin, tmp_path: Path
) -> None:
    """The next large one of the same caller waits, then is refused; small ones are answered."""
    path = tmp_path / "large"
    most = 65_536
    with RingWriter(str(path), 4 * most) as writer:
        writer.append(exit_bytes() * most)
        serving = begin(
            queue_s=0.2, reply_bytes=40_000_000, reply_bytes_per_caller=40_000_000, ring=str(path)
        )
        request = post(dumps(({"count": most},), "kvmRecords").encode())
        memory = serving.server.accounts.memory
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", serving.port))
            deaf.sendall(request)
            until(lambda: 0 < memory.held_bytes < 15_000_000)
            with serving.connect() as second:
                second.sendall(request)
                refused = read_all(second)
            assert status_of(refused) == 429
            assert b"\r\nRetry-After: 1\r\n" in refused
            with contextlib.closing(serving.http(None)) as link:
                assert ask(link) == 200
        until(lambda: memory.held_bytes == 0)
        with serving.connect() as third:
            third.sendall(request)
            assert status_of(read_all(third)) == 200
