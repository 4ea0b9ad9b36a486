# SPDX-License-Identifier: GPL-2.0-or-later
"""A session with libvirt's test driver, in which calls block as those of a hung daemon would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from kvmlog.vmstats.events import Occurrence
from kvmlog.vmstats.libvirt import calls
from kvmlog.vmstats.libvirt import session as sessions
from kvmlog.vmstats.libvirt.events import Changes
from kvmlog.vmstats.libvirt.session import Session, UnreachableError
from tests.support.bridge_process import HANG_S, until
from tests.support.libvirt_test_driver import write_host

URI = "test:///default"


def changes() -> Changes:
    """What happens to domains, which nobody looks at; the test driver loses no connection."""
    return Changes(lambda: None, list[Occurrence]().append, URI)


@pytest.fixture
def session() -> Iterator[Session]:
    """A session, closed at the end."""
    made = Session(URI, remote=False, changes=changes())
    yield made
    made.close()
    made.join(HANG_S)
    assert made.stuck_threads == 0


def test_figures_of_all_domains(tmp_path: Path) -> None:
    """As many records as there are domains, running ones with their ids."""
    made = Session(
        write_host(tmp_path, 20),
        remote=False,
        changes=changes(),
    )
    answer = made.figures(2)
    assert {record.name for record in answer.records} == {f"vm{number}" for number in range(20)}
    assert all(record.figures["state.state"] == 1 for record in answer.records)
    assert all(record.domain_id is not None for record in answer.records)
    assert (made.hung, made.stuck_threads, made.connections) == (frozenset(), 0, 1)
    made.close()


def test_calls_that_never_return_do_not_pile_up(session: Session) -> None:
    """After a few no more are made; when they return all goes on."""
    release = threading.Event()
    for _ in range(6):
        with pytest.raises(UnreachableError):
            session.watch(lambda _: release.wait(HANG_S), 0.05)
    assert session.stuck_threads == 2
    with pytest.raises(UnreachableError, match="2 calls of libvirt have not returned"):
        session.figures(2)
    release.set()
    until(lambda: session.stuck_threads == 0)
    assert session.figures(2).records


def test_a_bulk_call_that_is_late(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody occupied it is waited for until the deadline; then it is left."""
    release = threading.Event()
    monkeypatch.setattr(sessions, "CALL_S", 0.4)
    real = calls.figures

    def late(connection: libvirt.virConnect, without: frozenset[str]) -> object:
        release.wait(HANG_S)
        return real(connection, without)

    monkeypatch.setattr(calls, "figures", late)
    with pytest.raises(UnreachableError, match=r"more than 0\.4 s to answer"):
        session.figures(2)
    assert session.stuck_threads == 1
    release.set()
    assert session.figures(2).records
    assert session.hung == frozenset()


def test_connections_that_are_closed_are_not_stuck(session: Session) -> None:
    """However often it connects anew, as after restarts of libvirtd, the next call succeeds."""
    for number in range(1, 20):
        assert session.figures(2).records
        assert session.connections == number
        session.close()


def test_a_failing_call_costs_no_connection(session: Session) -> None:
    """The connection is alive: it is the call that failed."""
    with pytest.raises(UnreachableError, match="Domain not found"):
        session.watch(lambda connection: connection.lookupByName("nobody"))
    session.watch(lambda connection: connection.getHostname())
    assert session.connections == 1


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("qemu+unix:///system?socket=/nonexistent/sock", "No such file.*; start libvirtd"),
        ("test:///nonexistent/host.xml", "host.xml"),
    ],
)
def test_no_connection(uri: str, said: str) -> None:
    """A sentence with libvirt's reason and a remedy; each try is a new one, and leaves nothing."""
    made = Session(uri, remote=False, changes=changes())
    for _ in range(3):
        with pytest.raises(UnreachableError, match=said):
            made.figures(2)
    until(lambda: made.stuck_threads == 0)
    assert made.connections == 0
