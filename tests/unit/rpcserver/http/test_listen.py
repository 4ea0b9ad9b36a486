# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses that the server listens on."""

from __future__ import annotations

import pytest

from kvmlog.config.load import Config
from kvmlog.config.schema.serving import RpcKeys
from kvmlog.rpcserver import preflight
from kvmlog.rpcserver.http.listen import ListenError, is_loopback, parse_listen
from kvmlog.util.errors import KvmlogError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:50080", ("127.0.0.1", 50080)),
        ("127.9.8.7:0", ("127.9.8.7", 0)),
        ("[::1]:1", ("::1", 1)),
        ("localhost:65535", ("127.0.0.1", 65535)),
    ],
)
def test_loopback_is_taken(text: str, expected: tuple[str, int]) -> None:
    """Every loopback address is accepted."""
    assert parse_listen(text) == expected
    assert is_loopback(expected[0])


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:50080", "[::]:50080", "192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"],
)
def test_beyond_loopback_takes_credentials(text: str) -> None:
    """The sentence names the address, the reason and the way out."""
    host, _ = parse_listen(text)
    assert not is_loopback(host)
    for keys in (RpcKeys(listen=text), RpcKeys(json_listen=text)):
        with pytest.raises(KvmlogError, match=r"beyond loopback TLS is needed; give --tls-cert"):
            preflight.credentials(Config(rpc=keys))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        ":50080",
        "a:b",
        "host:1",
        "127.0.0.1:65536",
        "::1:50080",
        "[127.0.0.1]:1",
        "127.0.0.1:-1",
        "127.0.0.1:\u0663",
    ],
)
def test_invalid_addresses_are_refused(text: str) -> None:
    """Anything but HOST:PORT gets a sentence."""
    with pytest.raises(ListenError, match="--listen"):
        parse_listen(text)
