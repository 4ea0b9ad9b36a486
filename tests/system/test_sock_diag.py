# SPDX-License-Identifier: GPL-2.0-or-later
"""Owners of sockets as this kernel reports them: real sockets of both families."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

import pytest

from kvmlog.rpcserver.http.peers import identify
from kvmlog.util import sock_diag

FAMILIES = {
    "IPv4": (socket.AF_INET, "127.0.0.1", socket.AF_INET, "127.0.0.1"),
    "IPv6": (socket.AF_INET6, "::1", socket.AF_INET6, "::1"),
    "IPv4 to a socket of IPv6": (socket.AF_INET6, "::ffff:127.0.0.1", socket.AF_INET, "127.0.0.1"),
    "IPv4 by a socket of IPv6": (socket.AF_INET, "127.0.0.1", socket.AF_INET6, "::ffff:127.0.0.1"),
}


def end(name: Any) -> sock_diag.Endpoint:
    """A socket's name as an endpoint."""
    return sock_diag.address(name[0]), name[1]


@pytest.mark.parametrize("case", FAMILIES.values(), ids=FAMILIES.keys())
def test_a_connections_other_end_is_found(case: tuple[int, str, int, str]) -> None:
    """A connection is found by exactly its two ends; its inode is the one that /proc has."""
    server_family, server_host, client_family, client_host = case
    with socket.socket(server_family, socket.SOCK_STREAM) as server:
        server.bind((server_host, 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.socket(client_family, socket.SOCK_STREAM) as client:
            client.connect((client_host, port))
            accepted, name = server.accept()
            with accepted:
                found = sock_diag.tcp_socket(end(name), end(accepted.getsockname()))
                assert found is not None
                assert (found.uid, found.held) == (os.getuid(), True)
                assert os.readlink(f"/proc/self/fd/{client.fileno()}") == f"socket:[{found.inode}]"
                peer = identify(accepted, name)
                assert (peer.local, peer.uid) == (True, os.getuid())
                # The server's own end is another socket, and no answer for the client's.
                assert sock_diag.tcp_socket(end(accepted.getsockname()), (end(name)[0], 1)) is None
                client.close()
                assert identify(accepted, name).uid is None


def test_sockets_of_a_udp_port_are_all_found() -> None:
    """All sockets that share a port are found, of both families, connected or not."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as third,
    ):
        for one in (first, second):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        second.bind(("127.0.0.1", port))
        second.connect(("127.0.0.1", 9))
        third.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        third.bind(("::1", port))
        found = sock_diag.udp_sockets(port)
        assert sorted(one.inode for one in found) == sorted(
            os.fstat(one.fileno()).st_ino for one in (first, second, third)
        )
        assert {one.remote[1] for one in found} == {0, 9}
    assert sock_diag.udp_sockets(port) == []


def test_sockets_without_number_are_not_all_looked_at() -> None:
    """Anybody may have them share a port: asking for their owners has an end."""
    with contextlib.ExitStack() as stack:
        port = 0
        for _ in range(2 * sock_diag.MOST_SOCKETS):
            one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", port))
            port = one.getsockname()[1]
        assert len(sock_diag.udp_sockets(port)) == sock_diag.MOST_SOCKETS
