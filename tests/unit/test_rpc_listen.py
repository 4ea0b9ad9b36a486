# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the server agrees to listen."""

from __future__ import annotations

import pytest

from kvmlog.rpcserver.listen import ListenError, parse_listen


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
    """Every address of this machine alone."""
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:50080", "[::]:50080", "192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"],
)
def test_anything_beyond_loopback_is_refused(text: str) -> None:
    """The sentence names the address, the reason and the way out."""
    with pytest.raises(ListenError, match=r"not a loopback address.*ssh"):
        parse_listen(text)


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
def test_no_address_is_refused(text: str) -> None:
    """What is no HOST:PORT gets a sentence too."""
    with pytest.raises(ListenError, match="--listen"):
        parse_listen(text)
