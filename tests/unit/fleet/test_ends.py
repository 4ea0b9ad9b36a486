# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls on hosts end when they are told to: no host is asked, and nothing is sent, after that."""

from __future__ import annotations

import threading

import pytest

from kvmlog.client.connection import RpcError
from kvmlog.fleet.access import Access
from kvmlog.fleet.ask import ask_all
from kvmlog.fleet.hosts import FleetHost
from tests.support.fleet_hosts import Kind, fleet_hosts

ACCESS = Access(timeout_s=60.0, reply_bytes=1 << 20)


def test_hosts_that_were_not_asked_before_the_end_are_not() -> None:
    """Those that answered are there; the others say why they are not."""
    stopping = threading.Event()
    with fleet_hosts(*[Kind.GOOD] * 6) as hosts:
        found = ask_all(
            [FleetHost("127.0.0.1", port, tls=False) for port in hosts.ports],
            ACCESS,
            lambda client, _: client.hosts(),
            parallel=1,
            deadline_s=60.0,
            done=lambda _: stopping.set(),
            stopping=stopping,
        )
        asked = list(hosts.asked)
    assert asked == ["hostList"]
    assert [one.error for one in found] == [
        None,
        *["not asked, since the server ends; ask again"] * 5,
    ]


def test_an_interrupted_client_sends_nothing_more() -> None:
    """It may be between two calls when its time is over."""
    with fleet_hosts(Kind.GOOD) as hosts:
        host = FleetHost("127.0.0.1", hosts.ports[0], tls=False)
        with ACCESS.client(host) as client:
            assert client.hosts()
            client.interrupt()
            with pytest.raises(RpcError, match="ended before hostList was sent"):
                client.hosts()
        asked = list(hosts.asked)
    assert asked == ["hostList"]
