# SPDX-License-Identifier: GPL-2.0-or-later
"""system.multicall: several calls in one request, each with its own right, audit line and cost."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, MultiCall, dumps, loads

import pytest

from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver.auth.tokens import new_token
from kvmlog.rpcserver.limits import BURST_S, MOST_CALLS
from tests.support.records import exit_bytes
from tests.support.rpc_process import REPLY_S, Server, rpc_server

RATE = 2
# By their places among the calls of the first test.
FAULTY = {
    2: ("kvmSwitch", ({"on": True, "one_in": 0},)),
    3: ("nothing", ()),
    4: ("kvmLogSwitch", ("on",)),
}


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Path]:
    """A ring with one exit."""
    path = tmp_path / "ring"
    with RingWriter(str(path), 4_096) as writer:
        writer.append(exit_bytes(reason=0x78))
        yield path


@pytest.fixture
def server(ring: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of that ring, without a bridge."""
    with rpc_server(ring, tmp_path / "switch") as running:
        yield running


def called(name: object, *parameters: Any) -> dict[str, Any]:
    """Return a call as multicall takes it."""
    return {"methodName": name, "params": list(parameters)}


def test_a_stock_client_gets_results_and_faults_in_their_order(server: Server, ring: Path) -> None:
    """Each as if it had been called by itself; codes of faults are integers."""
    with server.client() as client:
        calls = MultiCall(client)
        calls.kvmLogStatus()
        calls.getKvmLog()
        calls.kvmSwitch({"on": True, "one_in": 0})
        calls.nothing()
        calls.kvmLogSwitch("on")
        calls.system.methodHelp("getKvmLog")
        results: Any = calls()
        assert results[0]["ring_path"] == str(ring)
        assert results[1][:2] == "78"
        faults = []
        for number in (2, 3, 4):
            with pytest.raises(Fault) as caught:
                results[number]
            with pytest.raises(Fault) as alone:
                client._ServerProxy__request(*FAULTY[number])
            faults.append((caught.value.faultCode, caught.value.faultString))
            assert faults[-1] == (alone.value.faultCode, alone.value.faultString)
        assert [code for code, _ in faults] == [-32602, -32601, 101]
        assert results[5] == client.system.methodHelp("getKvmLog")


@pytest.mark.parametrize(
    "one",
    [
        called("system.multicall", [called("getKvmLog")]),
        called(["getKvmLog"]),
        {"methodName": "getKvmLog"},
        {"methodName": "getKvmLog", "params": {}},
        {"methodName": "getKvmLog", "params": [], "more": 1},
        "getKvmLog",
    ],
)
def test_what_is_no_call_is_a_fault_in_its_place(server: Server, one: object) -> None:
    """The others are carried out; it does not call itself."""
    with server.client() as client:
        before, fault, after = client.system.multicall(
            [called("getKvmLog"), one, called("getKvmLog")]
        )
    assert before == after
    assert len(before) == 1
    assert fault["faultCode"] in (-32602, -32601)


@pytest.mark.parametrize("given", [[], [called("getKvmLog")] * (MOST_CALLS + 1), {}, "x"])
def test_how_many_calls_is_bounded(server: Server, given: object) -> None:
    """None, or too many: a fault of the whole, and nothing is carried out."""
    with server.client() as client:
        assert len(client.system.multicall([called("getKvmLog")] * MOST_CALLS)) == MOST_CALLS
        with pytest.raises(Fault, match=f"1 to {MOST_CALLS}") as caught:
            client.system.multicall(given)
    assert caught.value.faultCode == -32602


def test_replies_that_are_too_large_together_are_refused(server: Server) -> None:
    """Those that fit are there; others are told what to do."""
    ask = called("kvmRecords", {"count": 1024, "form": "structs"})
    with server.client() as client:
        results = client.system.multicall([ask] * MOST_CALLS)
    assert results[0][0]["count"] == "1"
    assert results[-1]["faultCode"] == -32602
    assert "ask for less" in results[-1]["faultString"]


def _post(server: Server, token: str, body: str) -> tuple[int, str | None, bytes]:
    link = http.client.HTTPConnection(server.host, server.port, timeout=REPLY_S)
    headers = {"Content-Type": "text/xml", "Authorization": f"Bearer {token}"}
    with contextlib.closing(link):
        link.request("POST", "/RPC2", body, headers)
        reply = link.getresponse()
        return reply.status, reply.getheader("Retry-After"), reply.read()


def test_rights_audit_and_rate_hold_for_each_call(ring: Path, tmp_path: Path) -> None:
    """A reader switches nothing by it, each refusal is in the log, and each call counts."""
    file = tmp_path / "tokens"
    token = new_token(str(file), "engine", "read")
    extra = ["--token-file", str(file), "--requests-per-s", str(RATE)]
    with rpc_server(ring, tmp_path / "switch", extra=extra) as server:
        body = dumps(([called("kvmLogSwitch", "on"), called("getKvmLog")] * 2,), "system.multicall")
        status, _, reply = _post(server, token, body)
        results: Any = loads(reply)[0][0]
        assert status == 200
        assert [one["faultCode"] for one in results[::2]] == [104, 104]
        assert [one[0][:2] for one in results[1::2]] == ["78", "78"]
        # A burst is BURST_S seconds' worth.
        many = dumps(([called("getKvmLog")] * (RATE * BURST_S),), "system.multicall")
        status, after, _ = _post(server, token, many)
        assert (status, after) == (429, "1")
        log = server.stop()
    assert log.count("(engine by token) may not call kvmLogSwitch: no right to switch") == 2
