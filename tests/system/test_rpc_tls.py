# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS: certificates of server and clients, tokens from afar, and handshakes that never end."""

from __future__ import annotations

import contextlib
import http.client
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy, dumps

import pytest

from tests.support.bridge_process import HANG_S, kvmlog, until
from tests.support.certificates import Authority
from tests.support.rpc_process import Server, post, read_all, rpc_server, status_of
from tests.support.users import ADDRESS, NOBODY, as_root, own_network, run_as, same_network

pytestmark = as_root

CALL = dumps((), "kvmLogStatus").encode()
Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that certifies trusted servers and clients."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server_pair(authority: Authority) -> Pair:
    """Return certificate and key for 127.0.0.1 and ADDRESS."""
    return authority.issue("server")


@pytest.fixture(scope="module")
def engine(authority: Authority) -> Pair:
    """A client's certificate."""
    return authority.issue("engine", san="DNS:engine.example")


def tls_options(pair: Pair, authority: Authority | None = None) -> list[str]:
    """Options of a server with this certificate, and clients' certificates of an authority."""
    options = ["--tls-cert", str(pair[0]), "--tls-key", str(pair[1])]
    return options if authority is None else [*options, "--tls-ca", str(authority.certificate)]


@pytest.fixture
def server(tmp_path: Path, authority: Authority, server_pair: Pair) -> Iterator[Server]:
    """Yield a server on loopback, with certificates for both sides."""
    extra = tls_options(server_pair, authority)
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as running:
        yield running


def client(server: Server, context: ssl.SSLContext) -> Any:
    """The stock client over TLS."""
    return ServerProxy(f"https://127.0.0.1:{server.port}/", context=context)


def served(server: Server, context: ssl.SSLContext) -> bool:
    """Return whether a call is answered."""
    try:
        with client(server, context) as proxy:
            proxy.kvmLogStatus()
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return False
    return True


def test_a_certificate_is_a_credential(server: Server, authority: Authority, engine: Pair) -> None:
    """Verified both ways; its name stands in the log of what it did."""
    with client(server, authority.client(engine)) as proxy:
        assert proxy.kvmLogStatus()["bridge"] == "down"
        with pytest.raises(Fault) as caught:
            proxy.kvmLogSwitch("off")
        assert caught.value.faultCode == 101
    assert "(engine by certificate) asked for tracing off, not done" in server.stop()


def test_no_certificate_and_those_of_others_are_refused(
    server: Server, authority: Authority, engine: Pair, tmp_path: Path
) -> None:
    """Not even root of this machine gets through without."""
    stranger = Authority(tmp_path, "other")
    impostor = authority.client(stranger.issue("engine-of-other"))
    assert not served(server, authority.client())
    assert not served(server, impostor)
    assert served(server, authority.client(engine))


def test_an_expired_certificate_is_refused(
    server: Server, authority: Authority, engine: Pair
) -> None:
    """The date alone makes the difference."""
    assert not served(server, authority.client(authority.issue("expired", days=-1)))
    assert served(server, authority.client(engine))


@pytest.mark.parametrize("name", ["engine", "engine.example"])
def test_switch_names_decide_who_may_switch(
    tmp_path: Path, authority: Authority, server_pair: Pair, engine: Pair, name: str
) -> None:
    """CN or SAN may hold the name; another certificate of the same CA may only read."""
    extra = [*tls_options(server_pair, authority), "--switch-name", name]
    reader = authority.issue("reader")
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as server:
        for pair, code in ((engine, 101), (reader, 104)):
            with client(server, authority.client(pair)) as proxy:
                assert proxy.kvmLogStatus()["bridge"] == "down"
                with pytest.raises(Fault) as caught:
                    proxy.kvmLogSwitch("on")
                assert caught.value.faultCode == code
        # Whichever name gave the right, and that of whom it was refused.
        log = server.stop()
        assert f"({name} by certificate) asked for tracing on, not done" in log
        assert "(reader by certificate) may not call kvmLogSwitch: no right to switch" in log


def test_curl_calls_with_a_certificate(server: Server, authority: Authority, engine: Pair) -> None:
    """Another TLS client than Python's."""
    done = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--cacert", str(authority.certificate)),
            *("--cert", str(engine[0]), "--key", str(engine[1])),
            *("-H", "Content-Type: text/xml", "--data-binary", CALL.decode()),
            f"https://127.0.0.1:{server.port}/RPC2",
        ],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert (done.returncode, "<name>bridge</name>" in done.stdout) == (0, True), done.stderr


def test_old_versions_of_tls_are_refused(
    server: Server, authority: Authority, engine: Pair
) -> None:
    """1.2 is served, 1.1 is not."""
    context = authority.client(engine)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert served(server, context)
    done = subprocess.run(
        [
            *("openssl", "s_client", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
            *("-connect", f"127.0.0.1:{server.port}"),
        ],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=HANG_S,
        check=False,
    )
    assert b"alert protocol version" in done.stderr


def test_plain_http_and_noise_get_nothing(
    server: Server, authority: Authority, engine: Pair
) -> None:
    """A TLS port gives no reply to them; the next client is served."""
    for data in (post(CALL), b"\x16\x03\x01" + bytes(300), b"\xff" * 3_000):
        assert status_of(server.exchange(data, end=True)) == 0
    assert served(server, authority.client(engine))


def test_slow_handshakes_hold_nobody_up(server: Server, authority: Authority, engine: Pair) -> None:
    """Twenty that never say a word; served all the while, and they are ended in the end."""
    silent = [server.connect() for _ in range(20)]
    try:
        with client(server, authority.client(engine)) as proxy:
            assert proxy.kvmLogStatus()["bridge"] == "down"
        for connection in silent:
            assert read_all(connection) == b""
    finally:
        for connection in silent:
            connection.close()


def test_the_server_ends_while_a_client_is_connected(
    server: Server, authority: Authority, engine: Pair
) -> None:
    """An idle TLS connection does not hold it up, and is no traceback."""
    with client(server, authority.client(engine)) as proxy:
        proxy.kvmLogStatus()
        assert "Traceback" not in server.stop()


def test_certificates_are_read_again_at_sighup(
    tmp_path: Path, authority: Authority, engine: Pair
) -> None:
    """New connections see the new one; a broken one changes nothing."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(pair: Pair) -> None:
        certificate.write_bytes(pair[0].read_bytes())
        key.touch(0o600)
        key.write_bytes(pair[1].read_bytes())

    def subject() -> str:
        plain = running.connect()
        context = authority.client(engine)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as link:
            found: Any = link.getpeercert()
        return str(found["subject"][-1][0][1])

    put(authority.issue("first"))
    extra = tls_options((certificate, key), authority)
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as running:
        assert subject() == "first"
        put(authority.issue("second"))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: subject() == "second")
        certificate.write_text("broken", encoding="ascii")
        running.process.send_signal(signal.SIGHUP)
        until(lambda: any("no certificate with its key" in line for line in running._lines))
        assert subject() == "second"


def test_a_handshake_under_way_at_sighup_is_not_torn(
    server: Server, authority: Authority, engine: Pair
) -> None:
    """A client would not try again by itself, as it does with a request."""
    context = authority.client(engine)
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(received, sent, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = sent.read()
    threads = Path(f"/proc/{server.process.pid}/task")
    at_rest, said = len(list(threads.iterdir())), len(server._lines)
    with server.connect() as plain:
        plain.sendall(hello[:100])
        until(lambda: len(list(threads.iterdir())) > at_rest)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: any("read again" in line for line in server._lines[said:]))
        plain.sendall(hello[100:])
        while not tls.version():
            received.write(plain.recv(65_536) or pytest.fail("torn"))
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
    assert served(server, context)


def test_a_connection_does_not_outlive_the_ca_that_let_it_in(
    tmp_path: Path, authority: Authority, server_pair: Pair, engine: Pair
) -> None:
    """Its certificate counted; once the CA has been taken away by SIGHUP it does not any more."""
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority.certificate.read_bytes())
    extra = [*tls_options(server_pair), "--tls-ca", str(clients)]
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as running:
        context = authority.client(engine)
        link = http.client.HTTPSConnection(
            "127.0.0.1", running.port, timeout=HANG_S, context=context
        )

        def ask() -> int:
            link.request("POST", "/RPC2", CALL, {"Content-Type": "text/xml"})
            reply = link.getresponse()
            reply.read()
            return reply.status

        assert (ask(), ask()) == (200, 200)
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "configuration read again; no key has changed\n" in running._lines[-1])
        # The same CA: who connects again is served.
        with client(running, context) as proxy:
            assert proxy.kvmLogStatus()["bridge"] == "down"
            clients.write_bytes(Authority(tmp_path, "other").certificate.read_bytes())
            before = len(running._lines)
            running.process.send_signal(signal.SIGHUP)
            until(lambda: len(running._lines) > before)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                proxy.kvmLogStatus()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask()
        link.close()


def test_a_token_from_afar_needs_tls(
    tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    """Beyond loopback: 401 without a credential, also for root; 200 with a token."""
    tokens = tmp_path / "tokens"
    made = kvmlog("rpc", "--token-file", str(tokens), "--new-token", "engine", "--role", "read")
    extra = [*tls_options(server_pair), "--token-file", str(tokens)]
    ask = f"""
import http.client, ssl, sys
context = ssl.create_default_context(cadata=sys.argv[2])
link = http.client.HTTPSConnection({ADDRESS!r}, int(sys.argv[1]), context=context, timeout=60)
headers = {{"Content-Type": "text/xml"}}
if len(sys.argv) > 3:
    headers["Authorization"] = "Bearer " + sys.argv[3]
link.request("POST", "/RPC2", {CALL.decode()!r}, headers)
print(link.getresponse().status)
"""
    with rpc_server(
        tmp_path / "ring",
        tmp_path / "switch",
        listen=f"{ADDRESS}:0",
        extra=extra,
        prefix=own_network(),
    ) as server:
        inside = tuple(same_network(server.process.pid))
        words = (str(server.port), authority.certificate.read_text(encoding="ascii"))
        assert run_as(0, ask, *words, prefix=inside) == "401\n"
        assert run_as(0, ask, *words, "wrong", prefix=inside) == "401\n"
        assert run_as(0, ask, *words, made.stdout.strip(), prefix=inside) == "200\n"


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", f"{ADDRESS}:0"])
def test_nothing_listens_beyond_loopback_without_tls_and_credential(
    tmp_path: Path, server_pair: Pair, listen: str
) -> None:
    """A sentence each that says what is missing; a token alone is not enough."""
    tokens = tmp_path / "tokens"
    kvmlog("rpc", "--token-file", str(tokens), "--new-token", "engine")
    cases: tuple[tuple[list[str], str], ...] = (
        ([], "beyond loopback TLS is needed"),
        (["--token-file", str(tokens)], "beyond loopback TLS is needed"),
        (tls_options(server_pair), "beyond loopback callers need a credential"),
    )
    for extra, words in cases:
        refused = kvmlog("rpc", "--user", "root", "--listen", listen, *extra)
        assert refused.returncode == 1
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, authority: Authority) -> None:
    """And a key that belongs to another certificate."""
    certificate, key = authority.issue("open")
    _, other = authority.issue("another")
    key.chmod(0o644)
    for chosen, words in ((key, "has mode 0644"), (other, "no certificate with its key")):
        refused = kvmlog("rpc", "--listen", "127.0.0.1:0", *tls_options((certificate, chosen)))
        assert refused.returncode == 1
        assert words in refused.stderr


def test_tls_on_loopback_still_asks_for_the_owner(
    tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    """The socket's owner decides without client certificates and tokens, as without TLS."""
    extra = tls_options(server_pair)
    ask = f"""
import http.client, ssl, sys
context = ssl.create_default_context(cadata=sys.argv[2])
link = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=context, timeout=60)
link.request("POST", "/RPC2", {CALL.decode()!r}, {{"Content-Type": "text/xml"}})
print(link.getresponse().status)
"""
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as server:
        words = (str(server.port), authority.certificate.read_text(encoding="ascii"))
        assert run_as(0, ask, *words) == "200\n"
        assert run_as(NOBODY, ask, *words) == "403\n"
