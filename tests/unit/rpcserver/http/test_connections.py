# SPDX-License-Identifier: GPL-2.0-or-later
"""Slots for connections: who is refused, and who is evicted for whom."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from kvmlog.rpcserver.http.connections import Connection, Connections
from kvmlog.rpcserver.http.peers import Peer
from kvmlog.rpcserver.limits import Limits

Make = Callable[..., Connection]
Slots = Connections[threading.Thread]


@pytest.fixture
def make() -> Iterator[Make]:
    """Connections of a peer, by its name; known: as a member of the group is."""
    with contextlib.ExitStack() as stack:

        def new(group: str, *, known: bool = False, trusted: bool = False) -> Connection:
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            theirs.setblocking(False)
            made = Connection(ours, Peer(group, False, None, known, group), trusted=trusted)
            others[made] = theirs
            return made

        others: dict[Connection, socket.socket] = {}
        new.ended = lambda one: _ended(others[one])  # type: ignore[attr-defined]
        yield new


def _ended(other: socket.socket) -> bool:
    try:
        return other.recv(1) == b""
    except BlockingIOError:
        return False


@pytest.fixture
def connections() -> Slots:
    """Slots for 3, of which 2 for one peer."""
    return Connections(Limits(connections=3, connections_per_peer=2))


def admit(connections: Slots, *several: Connection) -> list[str]:
    """Admit connections in turn; return what each gets."""
    return [connections.admit(one, threading.current_thread()) for one in several]


def test_a_peer_that_may_call_is_refused_beyond_its_slots(connections: Slots, make: Make) -> None:
    """It is refused until it frees one; other peers are not affected."""
    first, second, third = (make("a", known=True) for _ in range(3))
    assert admit(connections, first, second, third) == ["", "", "2 of this peer"]
    assert admit(connections, make("b", known=True), make("c", known=True)) == ["", "3"]
    connections.forget(first)
    assert admit(connections, make("a", known=True)) == [""]


def test_the_oldest_unauthenticated_connection_is_evicted(connections: Slots, make: Make) -> None:
    """It is one of the same peer, or of all when all slots are taken; authenticated ones stay."""
    authenticated, silent, newest = make("a"), make("a"), make("a")
    authenticated.authenticated = True
    assert admit(connections, authenticated, silent, newest) == ["", "", ""]
    ended = make.ended  # type: ignore[attr-defined]
    assert [ended(one) for one in (authenticated, silent, newest)] == [False, True, False]
    assert admit(connections, make("b"), make("c")) == ["", ""]
    assert [ended(one) for one in (authenticated, newest)] == [False, True]
    assert silent.evicted
    assert newest.evicted


def test_root_and_others_have_separate_slots(connections: Slots, make: Make) -> None:
    """Root is bounded by the number of its slots only."""
    others = [make(name, known=True) for name in "abcd"]
    roots = [make("root", trusted=True) for _ in range(4)]
    assert admit(connections, *others) == ["", "", "", "3"]
    assert admit(connections, *roots) == ["", "", "", "3"]


def test_threads_of_evicted_connections_are_bounded(connections: Slots, make: Make) -> None:
    """There are at most twice as many threads as slots; then a new connection is refused."""
    several = [make(str(number)) for number in range(7)]
    assert admit(connections, *several) == [""] * 6 + ["3"]
    connections.forget(several[0])
    assert admit(connections, make("7")) == [""]
