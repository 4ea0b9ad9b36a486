# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile and broken clients against a real server: each is answered, and the next is served."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
from collections.abc import Iterator
from xmlrpc.client import Fault, dumps, loads

import pytest

from kvmlog.rpcserver.limits import Limits
from tests.support.corruption import damaged_calls
from tests.support.rpc_process import Server, post, read_all, rpc_server, status_of

LIMITS = Limits()
CALL = dumps((), "kvmLogStatus").encode()
HEAD = "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of them: what one does must not hurt the next."""
    path = tmp_path_factory.mktemp("rpc")
    with rpc_server(path / "ring", path / "switch") as running:
        yield running
        rest = running.stop()
        assert "Traceback" not in rest


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """The shared server; after each test a stock client is served."""
    yield shared
    with shared.client() as client:
        assert client.kvmLogStatus()["bridge"] == "down"


def fault_code(reply: bytes) -> int:
    """The fault in an HTTP 200 reply."""
    assert status_of(reply) == 200
    with pytest.raises(Fault) as caught:
        loads(reply.split(b"\r\n\r\n", 1)[1])
    return int(caught.value.faultCode)


def billion_laughs() -> bytes:
    """Ten entities, each ten times the one before."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return (
        f'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY e0 "lol">{entities}]>'
        "<methodCall><methodName>&e9;</methodName></methodCall>"
    ).encode()


def nested(levels: int) -> bytes:
    """A parameter of arrays within arrays."""
    inside = "<value><array><data>" * levels + "</data></array></value>" * levels
    return (
        "<methodCall><methodName>kvmLogSwitch</methodName>"
        f"<params><param>{inside}</param></params></methodCall>"
    ).encode()


BAD_BODIES = {
    "billion laughs": (billion_laughs(), -32700),
    "external entity": (
        b'<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]><methodCall>&x;</methodCall>',
        -32700,
    ),
    "external DTD": (b'<!DOCTYPE m SYSTEM "http://127.0.0.1:1/x"><methodCall/>', -32700),
    "bare DTD": (b"<!DOCTYPE m><methodCall/>", -32700),
    "empty": (b"", -32700),
    "zeros": (b"\0" * 100, -32700),
    "NUL in the name": (CALL.replace(b"kvmLogStatus", b"kvm\0Status"), -32700),
    "bad UTF-8": (CALL.replace(b"kvmLogStatus", b"kvm\xc3\x28Status"), -32700),
    "NUL as a reference": (CALL.replace(b"kvmLogStatus", b"kvm&#0;Status"), -32700),
    "cut short": (CALL[:-5], -32700),
    "two documents": (CALL + CALL, -32700),
    "nested value": (nested(5), -32602),
    "nested too deep": (nested(100), -32600),
    "nested as deep as fits": (nested(1_400), -32600),
    "elements never closed": (b"<x>" * 20_000, -32600),
    "no method name": (b"<methodCall><methodName/></methodCall>", -32601),
    "HTML": (b"<html><body/></html>", -32600),
    "UTF-16, which XML allows": (dumps((), "getKvmLog").encode("utf-16"), 102),
}


@pytest.mark.parametrize(("body", "code"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_bad_body_is_a_fault(server: Server, body: bytes, code: int) -> None:
    """A body that is no call is answered with a fault; the connection is not just closed."""
    assert fault_code(server.exchange(post(body))) == code


def test_damaged_calls_are_replies_or_faults(server: Server) -> None:
    """Some of the unit test's, by HTTP: each is answered, on one connection."""
    with server.connect() as connection:
        stream = connection.makefile("rb")
        for body in itertools.islice(damaged_calls(7, 1_000), 400):
            request = post(body[: LIMITS.body_bytes])
            connection.sendall(request.replace(b"Connection: close\r\n", b""))
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            head = list(iter(stream.readline, b"\r\n"))
            length = next(int(h.split(b":")[1]) for h in head if h.startswith(b"Content-Length"))
            assert stream.read(length).startswith(b"<?xml")


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "kvmlogswitch",
        "__class__",
        "kvmLogSwitch.__globals__",
        "a.b.c",
        "_dispatch",
        "system.shutdown",
        "server.shutdown",
        "kvmLogSwitch ",
        "x" * 50_000,
        "\u2603",
        "run",
    ],
)
def test_unknown_method_is_a_fault(server: Server, name: str) -> None:
    """Only what the table has is a method; the fault lists it and shows a long name short."""
    with server.client() as client, pytest.raises(Fault) as caught:
        client._ServerProxy__request(name, ())
    assert caught.value.faultCode == -32601
    assert "getKvmLog" in caught.value.faultString
    assert len(caught.value.faultString) < 600


BAD_HTTP = {
    "negative length": (post(CALL, length="-1"), 400),
    "signed length": (post(CALL, length="+5"), 400),
    "hexadecimal length": (post(CALL, length="0x10"), 400),
    "length in words": (post(CALL, length="ten"), 400),
    "empty length": (post(CALL, length=""), 400),
    "underscored length": (post(CALL, length="1_0"), 400),
    "superscript length": (post(CALL, length="\xb2"), 400),
    "list of lengths": (post(CALL, length="5, 5"), 400),
    "two lengths": (post(CALL, headers="Content-Length: 5\r\n"), 400),
    "one byte too long": (post(b" " * (LIMITS.body_bytes + 1)), 413),
    "length of 5,000 digits": (post(CALL, length="9" * 5_000), 413),
    "length with 9,000 zeros before it": (post(CALL, length="0" * 9_000 + "99999"), 413),
    "3 MB": (post(b" " * 3_000_000), 413),
    "no length": (f"{HEAD}\r\n".encode() + CALL, 411),
    "chunks": (
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode(),
        411,
    ),
    "chunks and a length": (post(CALL, headers="Transfer-Encoding: chunked\r\n"), 411),
    # Neither is read by the stdlib, nor is what follows; others in between might.
    "blank before a colon": (
        post(CALL).replace(b"\r\n\r\n", b"\r\nTransfer-Encoding : chunked\r\n\r\n", 1),
        400,
    ),
    "header line without a colon": (
        post(CALL).replace(b"\r\n\r\n", b"\r\nnothing\r\nOrigin: http://x\r\n\r\n", 1),
        400,
    ),
    "gzip": (post(gzip.compress(CALL), headers="Content-Encoding: gzip\r\n"), 415),
    "gzip bomb": (
        post(gzip.compress(bytes(30_000_000)), headers="Content-Encoding: gzip\r\n"),
        415,
    ),
    "a form": (post(CALL).replace(b"text/xml", b"text/plain"), 415),
    "no content type": (post(CALL).replace(b"Content-Type: text/xml\r\n", b""), 415),
    "two content types": (post(CALL, headers="Content-Type: text/xml\r\n"), 415),
    "another content type": (post(CALL, headers="Content-Type: text/plain\r\n"), 415),
    "multipart": (post(CALL).replace(b"text/xml", b"multipart/form-data"), 415),
    "multipart with a boundary": (
        post(CALL).replace(b"text/xml", b"multipart/form-data; boundary=x"),
        415,
    ),
    "two encodings": (
        post(CALL, headers="Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"),
        415,
    ),
    "no host": (post(CALL).replace(b"Host: x\r\n", b""), 400),
    "two hosts": (post(CALL, headers="Host: y\r\n"), 400),
    "folded header": (post(CALL, headers="X: a\r\n b\r\n"), 400),
    "equal lengths": (post(CALL, headers=f"Content-Length: {len(CALL)}\r\n"), 400),
    "unknown expectation": (post(CALL, headers="Expect: 200-ok\r\n"), 417),
    "method in small letters": (post(CALL).replace(b"POST", b"post"), 501),
    "a web page": (post(CALL, headers="Origin: http://example.net\r\n"), 403),
    "other path": (post(CALL).replace(b"/RPC2", b"/RPC3"), 404),
    "two slashes": (post(CALL).replace(b"/RPC2", b"//RPC2"), 404),
    "slash behind": (post(CALL).replace(b"/RPC2", b"/RPC2/"), 404),
    "query": (post(CALL).replace(b"/RPC2", b"/RPC2?x"), 404),
    "fragment": (post(CALL).replace(b"/RPC2", b"/RPC2#x"), 404),
    "escaped path": (post(CALL).replace(b"/RPC2", b"/%52PC2"), 404),
    "path of an absolute URI": (post(CALL).replace(b"/RPC2", b"http://x/RPC3"), 404),
    "URI of another kind": (post(CALL).replace(b"/RPC2", b"ftp://x/RPC2"), 404),
    "authority as path": (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "path with dots": (post(CALL).replace(b"/RPC2", b"/../RPC2"), 404),
    "long path": (post(CALL).replace(b"/RPC2", b"/" + b"a" * 70_000), 431),
    "long header": (post(CALL, headers=f"X: {'a' * 70_000}\r\n"), 431),
    "200 headers": (post(CALL, headers="".join(f"X{n}: a\r\n" for n in range(200))), 431),
    "25 KB of headers": (post(CALL, headers=f"X: {'a' * 500}\r\n" * 50), 431),
    "GET": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "GET of HTTP/1.0": (b"GET /RPC2 HTTP/1.0\r\n\r\n", 405),
    "PUT": (b"PUT /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 405),
    "OPTIONS": (b"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "unknown verb": (b"BREW /RPC2 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "long line of noise": (b"a b c d " * 1_500 + b"\r\n\r\n", 400),
    "HTTP/9.9": (b"POST /RPC2 HTTP/9.9\r\n\r\n", 505),
    "another protocol": (b"POST /RPC2 FTP/1.1\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "asking before 100 MB": (
        f"{HEAD}Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n".encode(),
        413,
    ),
}


@pytest.mark.parametrize(("request_bytes", "status"), BAD_HTTP.values(), ids=BAD_HTTP.keys())
def test_bad_http_is_refused(server: Server, request_bytes: bytes, status: int) -> None:
    """The right status, one sentence, and the connection closed, whatever was sent after."""
    reply = server.exchange(request_bytes + b"POST /RPC2 HTTP/1.1\r\n\r\n")
    assert status_of(reply) == status
    assert reply.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in reply
    assert reply.split(b"\r\n\r\n", 1)[1].strip().endswith(b".")


@pytest.mark.parametrize("path", [b"/", b"/RPC2", b"http://x/RPC2", b"http://x:1"])
def test_paths_that_are_served(server: Server, path: bytes) -> None:
    """Both, also in a proxy's form."""
    assert status_of(server.exchange(post(CALL).replace(b"/RPC2", path))) == 200


def test_a_refusal_of_head_has_no_body(server: Server) -> None:
    """Its length would be that of GET's."""
    head, _, body = server.exchange(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
    assert status_of(head) == 405
    assert b"\r\nAllow: POST\r\n" in head
    assert body == b""


def test_a_reply_to_http_1_0_ends_the_connection(server: Server) -> None:
    """Also where keep-alive was requested, which version 1.0 does not have."""
    request = post(CALL).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"close", b"keep-alive")
    reply = server.exchange(request + request)
    assert status_of(reply) == 200
    assert reply.count(b"HTTP/1.1 ") == 1


def test_who_asks_before_the_body_is_answered_before_it(server: Server) -> None:
    """100 at once, whatever has been sent before on this connection, and one reply afterwards."""
    asking = post(CALL, headers="Expect: 100-continue\r\n")
    asking = asking.replace(b"Connection: close\r\n", b"")
    with server.connect() as link:
        for _ in range(2):
            link.sendall(asking.removesuffix(CALL))
            assert link.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            link.sendall(CALL)
            reply = link.recv(65_536)
            assert status_of(reply) == 200
            assert reply.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Host", b"Authorization: Bearer none\r\nHost"), 401),
        ((b"/RPC2", b"/RPC3"), 404),
        ((b"text/xml", b"text/plain"), 415),
        ((b"Host", b"Expect: 200-ok\r\nHost"), 417),
    ],
)
def test_who_asks_before_the_body_is_refused_before_it(
    server: Server, change: tuple[bytes, bytes], status: int
) -> None:
    """What would be refused with the body is without it."""
    asking = post(CALL, headers="Expect: 100-continue\r\n").removesuffix(CALL)
    reply = server.exchange(asking.replace(*change, 1))
    assert status_of(reply) == status
    assert reply.count(b"HTTP/1.1 ") == 1


def test_length_with_zeros_before_it(server: Server) -> None:
    """More digits than Python turns into a number, and a number all the same."""
    assert status_of(server.exchange(post(CALL, length=f"{len(CALL):09000}"))) == 200


def test_largest_body_is_read(server: Server) -> None:
    """The limit itself is allowed: spaces after the call are XML."""
    body = CALL + b" " * (LIMITS.body_bytes - len(CALL))
    assert status_of(server.exchange(post(body))) == 200


def test_body_cut_short(server: Server) -> None:
    """An end of file in the body is an answer, not a wait."""
    assert status_of(server.exchange(post(CALL, length="5000"), end=True)) == 400


def test_nothing_sent(server: Server) -> None:
    """A port scanner's connection ends without a word."""
    assert server.exchange(b"", end=True) == b""


def test_half_a_head(server: Server) -> None:
    """An end of file within the head is no call."""
    reply = server.exchange(b"POST /RPC2 HTTP/1.1\r\nHost", end=True)
    assert status_of(reply) in (0, 400, 411, 415)


def test_client_gone_before_its_reply(server: Server) -> None:
    """A reset instead of reading the reply hurts nobody."""
    for _ in range(20):
        with server.connect() as connection:
            linger = b"\1\0\0\0\0\0\0\0"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.sendall(post(CALL))


def test_slow_clients_are_ended(server: Server) -> None:
    """Clients that drip bytes are ended at the deadline, others being served meanwhile.

    Within the body there is a reply to give; within the head the connection just ends.
    """
    with server.connect() as head, server.connect() as body:
        head.sendall(b"POST /RPC2 HTTP/1.1\r\nX: ")
        body.sendall(post(CALL, length="60000"))
        replies: dict[socket.socket, bytes] = {}
        for _ in range(int(LIMITS.request_s) * 20):
            with server.client() as client:
                client.kvmLogStatus()
            for slow in {head, body} - replies.keys():
                with contextlib.suppress(TimeoutError):
                    slow.settimeout(0.1)
                    replies[slow] = read_all(slow)
                    continue
                with contextlib.suppress(ConnectionError):
                    slow.sendall(b" ")
            if len(replies) == 2:
                break
        assert replies[head] == b""
        assert status_of(replies[body]) == 408


def test_many_calls_on_one_connection(server: Server) -> None:
    """HTTP/1.1: a stock client's connection is kept."""
    with server.connect() as connection:
        stream = connection.makefile("rb")
        request = post(CALL).replace(b"Connection: close\r\n", b"")
        for _ in range(50):
            connection.sendall(request)
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            head = iter(stream.readline, b"\r\n")
            length = next(
                int(h.split(b":")[1]) for h in list(head) if h.startswith(b"Content-Length")
            )
            assert stream.read(length).startswith(b"<?xml")


def test_calls_sent_ahead(server: Server) -> None:
    """Pipelined calls are answered in order, one reply each."""
    request = post(CALL).replace(b"Connection: close\r\n", b"")
    reply = server.exchange(request * 3 + post(CALL))
    assert reply.count(b"HTTP/1.1 200 OK") == 4


def test_too_many_connections_are_told(server: Server) -> None:
    """The first 64 are held, the others get a 503; when they go, all is as before."""
    held = [server.connect() for _ in range(LIMITS.connections)]
    try:
        # Each is known to be in its thread once it has been answered.
        request = post(CALL).replace(b"Connection: close\r\n", b"")
        answered = 0
        for connection in held:
            connection.sendall(request)
            answered += status_of(connection.recv(65_536)) == 200
        assert answered == LIMITS.connections
        for _ in range(20):
            with server.connect() as late:
                assert status_of(read_all(late)) == 503
    finally:
        for connection in held:
            connection.close()
    # Their threads end as they read the end of file: soon, not at once.
    for _ in itertools.repeat(None, 1_000):
        if status_of(server.exchange(post(CALL))) == 200:
            return
    pytest.fail("the server stayed full after its clients had gone")
