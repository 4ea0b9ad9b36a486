# SPDX-License-Identifier: GPL-2.0-or-later
"""Heads of requests: what they say, and what is no head at all."""

from __future__ import annotations

import pytest

from kvmlog.rpcserver.http.head import body_length, parse_head
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.limits import Limits

LINE = "POST /RPC2 HTTP/1.1\r\n"
HOST = "Host: x\r\n"


def head(headers: str = HOST, line: str = LINE) -> bytes:
    """Return a head as bytes."""
    return f"{line}{headers}\r\n".encode("latin-1")


def test_what_a_head_says() -> None:
    """Names in any case, values without blanks around them, several of one name in their order."""
    found = parse_head(head("HOST:x\r\nX-a: 1\r\nx-A:\t2 \r\nExpect: 100-Continue\r\n"))
    assert (found.method, found.path, found.persistent, found.asks) == ("POST", "/RPC2", True, True)
    assert found.headers == {"host": ["x"], "x-a": ["1", "2"], "expect": ["100-Continue"]}
    assert (found.get("x-a"), found.get("none", "that")) == ("1, 2", "that")


def test_lines_may_end_in_a_line_feed_alone() -> None:
    """RFC 9112, 2.2: a recipient may take it; a carriage return within a line it may not."""
    assert parse_head(b"POST / HTTP/1.1\nHost: x\n\n").headers == {"host": ["x"]}
    with pytest.raises(RefusalError) as caught:
        parse_head(b"POST / HTTP/1.1\r\nHost: x\rOrigin: y\r\n\r\n")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("line", "connection", "persistent"),
    [
        (LINE, "", True),
        (LINE, "keep-alive", True),
        (LINE, "Close", False),
        (LINE, "foo, close", False),
        ("POST /RPC2 HTTP/1.0\r\n", "", False),
        ("POST /RPC2 HTTP/1.0\r\n", "keep-alive", False),
    ],
)
def test_whether_another_request_may_follow(line: str, connection: str, persistent: bool) -> None:
    """Version 1.0 would have to be told of it; its connections end."""
    assert parse_head(head(f"{HOST}Connection: {connection}\r\n", line)).persistent is persistent


@pytest.mark.parametrize("prefix", ["http://host:50080", "HTTPS://[::1]"])
@pytest.mark.parametrize(("rest", "path"), [("/RPC2", "/RPC2"), ("", "/"), ("//RPC2", "//RPC2")])
def test_a_proxys_form_of_the_path(prefix: str, rest: str, path: str) -> None:
    """RFC 9112, 3.2.2: every server has to accept it."""
    assert parse_head(head(line=f"POST {prefix}{rest} HTTP/1.1\r\n")).path == path


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(line="POST /RPC2\r\n"), 400),
        (head(line="POST  /RPC2 HTTP/1.1\r\n"), 400),
        (head(line="POST /RPC2 HTTP/1.10\r\n"), 400),
        (head(line="POST /RPC2 http/1.1\r\n"), 400),
        (head(line="POST /RPC2\0 HTTP/1.1\r\n"), 400),
        (head(line="\r\nPOST /RPC2 HTTP/1.1\r\n"), 400),
        (head(line="POST /RPC2 HTTP/2.0\r\n"), 505),
        (head(line="post /RPC2 HTTP/1.1\r\n"), 501),
        (head(""), 400),
        (head(HOST * 2), 400),
        (head(f"{HOST}X: a\r\n  folded\r\n"), 400),
        (head(f"{HOST}: a\r\n"), 400),
        (head(f"{HOST}X\0: a\r\n"), 400),
        (head(f"{HOST}X: \0\r\n"), 400),
        (head(f"{HOST}Expect: 200-ok\r\n"), 417),
        (head(f"{HOST}Expect: 100-continue\r\nExpect: 100-continue\r\n"), 417),
        (head(HOST + "X: a\r\n" * 100), 431),
    ],
)
def test_what_is_refused(data: bytes, status: int) -> None:
    """A sentence in one line with each."""
    with pytest.raises(RefusalError) as caught:
        parse_head(data)
    assert caught.value.status == status
    assert caught.value.sentence.isprintable()


@pytest.mark.parametrize("text", ["0", "65536", "0" * 9_000 + "5"])
def test_lengths(text: str) -> None:
    """Any way of writing a number of bytes that is not too large."""
    found = parse_head(head(f"{HOST}Content-Type: text/xml; x=y\r\nContent-Length: {text}\r\n"))
    assert body_length(found, Limits()) == int(text[-6:])
