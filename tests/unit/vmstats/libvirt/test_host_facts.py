# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts of a host that come late, over libvirt's test driver: calls block as slow ones would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kvmlog.vmstats.host import Host
from kvmlog.vmstats.libvirt import binding, host_facts
from kvmlog.vmstats.libvirt.host import HostCalls
from kvmlog.vmstats.libvirt.host_facts import HostFacts
from kvmlog.vmstats.libvirt.poller import Poller
from tests.support.bridge_process import HANG_S, until

binding.set_up()
URI = "test:///default"


class Gate:
    """Calls that wait until they are released, and how often each was made."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.calls = 0

    def before(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that waits first."""

        def call(*arguments: Any) -> Any:
            self.calls += 1
            self.open.wait(HANG_S)
            return real(*arguments)

        return call


@pytest.fixture(params=["identity", "node"])
def slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Capabilities and versions, or CPUs and memory, that do not come before they are released."""
    gate = Gate()
    real = getattr(HostCalls, request.param)
    monkeypatch.setattr(HostCalls, request.param, gate.before(real))
    yield gate
    gate.open.set()


def test_vms_do_not_wait_for_the_host(slow: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come poll after poll, without a host; once it is told it is there; one call was made."""
    monkeypatch.setattr(host_facts, "_MOMENT_S", 0.01)
    polled = threading.Event()
    poller = Poller(
        URI,
        interval_s=0.01,
        history_s=10,
        balloon_period_s=0,
        images="/",
        reported=polled.set,
        note=lambda _: None,
    )
    poller.start()

    def polls(more: int) -> bool:
        until(lambda: poller.report.connection.polls >= more)
        return True

    assert polls(20)
    report = poller.report
    assert [vm.sample.name for vm in report.vms] == ["test"]
    assert (report.connection.connected, report.host, slow.calls) == (True, None, 1)
    slow.open.set()

    def host() -> Host | None:
        return poller.report.host

    until(lambda: host() is not None)
    poller.stop()
    poller.join(HANG_S)
    assert poller.ended
    assert poller.failure is None


def test_a_call_that_takes_too_long_is_made_once(
    slow: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told of once, with what to look at, and counted; its late answer is used."""
    monkeypatch.setattr(host_facts, "ANSWER_S", 0.0)
    facts = HostFacts(URI)
    for _ in range(10):
        facts.begin()
        assert facts.get() is None
    assert (slow.calls, facts.stuck_threads) == (1, 1)
    said = capsys.readouterr().err
    assert said.count("has not told of its host within") == 1
    assert f"virsh -r -c {URI} capabilities" in said
    slow.open.set()
    until(lambda: facts.get() is not None)
    assert facts.stuck_threads == 0
    facts.close()


def test_connections_that_come_and_go_pile_up_no_threads(slow: Gate) -> None:
    """With each the host is asked anew, but never with more than two calls that have not returned;
    the answer to the newer one is used.
    """
    facts = HostFacts(URI)
    facts.begin()
    until(lambda: slow.calls == 1)
    for _ in range(5):
        facts.renew()
        facts.begin()
        facts.get()
    until(lambda: slow.calls == 2)
    assert facts.stuck_threads == 1
    slow.open.set()
    until(lambda: facts.get() is not None)
    until(lambda: facts.stuck_threads == 0)
    facts.close()


def test_a_slow_call_rests(slow: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has answered, polls use that, and do not make libvirt work on it again."""
    monkeypatch.setattr(host_facts, "_SLOW_S", 0.0)
    slow.open.set()
    facts = HostFacts(URI)
    facts.begin()
    until(lambda: facts.get() is not None)
    for _ in range(5):
        facts.begin()
        assert facts.get() is not None
    assert slow.calls == 1
    facts.renew()
    assert facts.get() is not None
    facts.begin()
    until(lambda: slow.calls == 2)
    facts.close()
