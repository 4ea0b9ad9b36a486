# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmWhy: a verdict over XML-RPC, what it refuses, and the places it holds while it watches."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, dumps, loads

import pytest

from kvmlog.client.connection import RpcError
from kvmlog.client.why import parameters, parse_why
from kvmlog.config.load import Config
from kvmlog.rpcserver import faults, log
from kvmlog.rpcserver.auth.caller import Caller, Role
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods import why as method
from kvmlog.rpcserver.service import RpcService
from kvmlog.vmstats.file import encode
from kvmlog.vmstats.moment import Moment
from kvmlog.why.evidence import Run
from kvmlog.why.serialize import parse_verdict, verdict_object
from kvmlog.why.verdict import Verdict, judge
from tests.support import vmstats_samples as samples
from tests.support import why_evidence as made
from tests.support.rpc_calls import answer, as_received, call_of


class Host:
    """The calls to a server of a host with web1, which is paused, and without a bridge."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._vms = folder / "vms"
        found = samples.snapshot()
        written = replace(found.collector, written=Moment.now())
        self._vms.write_bytes(encode(replace(found, collector=written)))

    def call(self, *given: Any) -> Any:
        """Return the result as a stock client gets it."""
        switch, vms = str(self._folder / "switch"), str(self._vms)
        call = call_of(str(self._folder / "ring"), *given, switch=switch, vmstats=vms)
        return as_received(table.run("kvmWhy", table.find("kvmWhy"), call))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host."""
    return Host(tmp_path)


def test_a_verdict_arrives_as_it_was_made(host: Host) -> None:
    """Watched for a second, from what the collector knows; exits could not be looked at."""
    verdict = parse_why(host.call(parameters("web1", 1.0, trace=False)))
    assert isinstance(verdict, Verdict)
    assert (verdict.name, verdict.uuid) == ("web1", samples.WEB1)
    assert verdict.over_s >= 1
    assert {"run", "disks", "nics", "memory", "host"} <= set(verdict.looked_at)
    assert "exits" in [gap.what for gap in verdict.gaps]


@pytest.mark.parametrize(
    "evidence",
    [
        made.healthy(),
        made.starved(0.5, rival=made.hog()),
        made.healthy(uuid=None, pid=None, exits=None, cpu=None),
        made.healthy(run=Run("paused", "an I/O error", 3.0)),
    ],
)
def test_all_of_a_verdict_survives_xml(evidence: Any) -> None:
    """XML-RPC has no null, and no long integers."""
    verdict = judge(evidence)
    assert parse_why(as_received(verdict_object(verdict))) == verdict
    assert parse_verdict(verdict_object(verdict)) == verdict


@pytest.mark.parametrize("reply", [None, {}, {"findings": 3}, {"name": "web1"}, "nothing"])
def test_a_reply_that_is_none_is_refused(reply: Any) -> None:
    """A server of another version."""
    with pytest.raises(RpcError, match="use client and server of one version"):
        parse_why(reply)


@pytest.mark.parametrize(
    ("given", "code", "sentence"),
    [
        ({}, faults.INVALID_PARAMETERS, "kvmWhy needs the member vm"),
        ({"vm": 3}, faults.INVALID_PARAMETERS, "give a string of 1 to"),
        ({"vm": ""}, faults.INVALID_PARAMETERS, "give a string of 1 to"),
        ({"vm": "web1", "for_s": 0.5}, faults.INVALID_PARAMETERS, "give seconds from 1 to 60"),
        ({"vm": "web1", "for_s": 61}, faults.INVALID_PARAMETERS, "give seconds from 1 to 60"),
        ({"vm": "web1", "trace": "yes"}, faults.INVALID_PARAMETERS, "give a boolean"),
        ({"vm": "nobody"}, faults.NO_GUEST, "no VM has the name, UUID or pid 'nobody'"),
    ],
)
def test_bad_requests(host: Host, given: dict[str, Any], code: int, sentence: str) -> None:
    """A sentence each, at once."""
    with pytest.raises(Fault) as caught:
        host.call(given)
    assert caught.value.faultCode == code
    assert sentence in caught.value.faultString


def test_watches_have_few_places_and_give_them_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of a caller, who is told so at the third; when they are over, there is room again."""
    held, go = threading.Semaphore(0), threading.Event()

    def watch(*_: Any) -> Any:
        held.release()
        assert go.wait(60)
        return made.healthy()

    monkeypatch.setattr(method, "watch", watch)
    watching = [
        threading.Thread(target=host.call, args=({"vm": "web1"},))
        for _ in range(method.WATCHES_PER_CALLER)
    ]
    for one in watching:
        one.start()
        assert held.acquire(timeout=60)
    with pytest.raises(Fault, match="calls of yours of kvmWhy are under way") as caught:
        host.call({"vm": "web1"})
    assert caught.value.faultCode == faults.BUSY
    go.set()
    for one in watching:
        one.join(60)
    assert host.call({"vm": "web1"})["name"] == "web1"


def test_who_may_only_read_does_not_switch_tracing_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`trace` is a switch by whoever asks for it; without it they may watch."""

    def watch(_places: Any, _vm: str, for_s: float, trace: Any) -> Any:
        if trace is not None:
            trace("4242", for_s)
        return made.healthy()

    monkeypatch.setattr(method, "watch", watch)
    ring, switch, vms = (str(tmp_path / name) for name in ("ring", "switch", "vms"))
    service = RpcService(ring, switch, vms, Credentials(Config().rpc), 32, log)
    reader = Caller("engine", Role.READ, "token", "192.0.2.1:7")
    asked = {"vm": "web1", "for_s": 1.0}
    found: Any = loads(answer(service, dumps((asked,), "kvmWhy").encode(), reader))[0]
    assert found[0]["name"] == "web1"
    with pytest.raises(Fault) as caught:
        loads(answer(service, dumps(({**asked, "trace": True},), "kvmWhy").encode(), reader))
    assert caught.value.faultCode == faults.NOT_ALLOWED
