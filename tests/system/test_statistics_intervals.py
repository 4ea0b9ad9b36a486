# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of short intervals, and as the bridge wrote them last: locally and over RPC."""

from __future__ import annotations

import contextlib
import json
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault, dumps

import pytest

from kvmlog.client import Client, RpcFaultError
from kvmlog.ring.statistics.reader import SUFFIX, By, StatisticsReader
from kvmlog.rpcserver.methods.shared_snapshot import SharedSnapshot
from kvmlog.rpcserver.methods.statistics import PLACES
from kvmlog.stat.query import Query
from kvmlog.stat.sampler import Sampler
from tests.support.bridge_process import HANG_S, kvmlog, until
from tests.support.rpc_process import post, rpc_server
from tests.support.scripted_host import Host, scripted_host

ROUNDS = 6
BRIEF = 12


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host that is on."""
    with scripted_host(tmp_path) as made:
        made.engine.switch(True)
        yield made


@pytest.fixture
def sampler(host: Host) -> Iterator[Sampler]:
    """Yield a sampler of its statistics."""
    with StatisticsReader(host.writer.path + SUFFIX) as reader:
        yield Sampler(reader, host.writer.path, str(host.switch), Query(), (), lambda _words: None)


def test_each_interval_has_its_own_exits(host: Host, sampler: Sampler) -> None:
    """However short it is: not those of a second in one, and none in the others."""
    found = []
    base = sampler.now()
    for number in range(ROUNDS):
        host.exit(1 + 25 * number, 25)
        now = sampler.now()
        found.append(sampler.since(base, now).exits)
        base = now
    assert found == [25] * ROUNDS


def test_seconds_over_rpc_have_their_own_exits(host: Host) -> None:
    """Half a second of exits, all of which come while the call is under way."""
    with Client(host.address) as client:
        for number in range(2):
            asked = _flushes(client)
            found: list[int] = []
            call = threading.Thread(target=lambda: found.append(_over(host, 0.5)))  # noqa: B023
            call.start()
            # Once to know how late exits come, and once for the first of the two samples.
            until(lambda: _flushes(client) >= asked + 2)  # noqa: B023
            host.exit(1 + 25 * number, 25)
            call.join()
            assert found == [25]


def _flushes(client: Client) -> int:
    bridge = client.status().bridge
    assert bridge is not None
    return int(bridge["commands"].get("unix", {}).get("flush", 0))


def _over(host: Host, seconds: float) -> int:
    with Client(host.address) as client:
        return client.statistics(over_s=seconds)[0].exits


def test_the_least_interval_is_told(host: Host) -> None:
    """Where exits come late the figures of a shorter one would be chance: a sentence instead."""
    host.source.set(flush_ms=495)
    host.engine.switch(True, for_s=60)
    words = "exits take up to 0.5 s to the bridge; give at least 2 s"
    ring = ("--ring", host.writer.path, "--switch", str(host.switch))
    refused = kvmlog("stat", *ring, "-i", "0.5", "-n", "1")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert words in refused.stderr
    remote = host.remote("stat", "-i", "0.5", "-n", "1")
    assert (remote.returncode, remote.stdout) == (1, "")
    assert words in remote.stderr
    assert kvmlog("stat", *ring, "-i", "2", "-n", "1").returncode == 0
    with Client(host.address) as client, pytest.raises(RpcFaultError, match=words) as fault:
        client.statistics(over_s=0.5)
    assert fault.value.code == -32602


@pytest.mark.parametrize("whose", ["nobody", "another"])
def test_a_bridge_that_cannot_be_asked(host: Host, tmp_path: Path, whose: str) -> None:
    """Its file is as old as a second, so an interval has to be longer."""
    (tmp_path / "other").mkdir()
    with scripted_host(tmp_path / "other") as other:
        switch = other.switch if whose == "another" else tmp_path / "nothing"
        ring = ("--ring", host.writer.path, "--switch", str(switch))
        refused = kvmlog("stat", *ring, "-i", "0.9", "-n", "1")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "cannot be asked to count sooner" in refused.stderr
        assert "give at least 1 s, or the bridge's socket (--switch)" in refused.stderr
        done = kvmlog("stat", *ring, "-i", "1", "-n", "1", "--json")
        assert done.returncode == 0
        assert json.loads(done.stdout)["rows"] == []


def test_statistics_are_the_servers_report(host: Host) -> None:
    """The client gets the same report by reason as the local command."""
    with Client(host.address) as client:
        client.switch(True)
        host.source.deliver(1, 100)
        client.switch(False)
        report, notes = client.statistics(Query(By.REASON), fresh=True)
        assert (report.exits, [line.row.count for line in report.lines]) == (100, [100])
        assert notes == [
            "tracing is off, nothing is being counted; switch it on (kvmlog switch on)"
        ]
        over, _ = client.statistics(Query(By.REASON), over_s=0.1)
        assert (over.exits, over.lines) == (0, [])
    ring = host.writer.path
    local = json.loads(kvmlog("stat", "--by", "reason", "--json", "--ring", ring).stdout)
    remote = json.loads(host.remote("stat", "--by", "reason", "--json").stdout)
    moving = ("until", "until_realtime_ns", "age_s")
    assert {k: v for k, v in remote.items() if k not in moving} == {
        k: v for k, v in local.items() if k not in moving
    }


def test_a_call_is_answered_from_what_was_written_last(host: Host, sampler: Sampler) -> None:
    """It is told with its age; `fresh` waits for what is under way."""
    host.exit(1, 25)
    written = sampler.now()
    with Client(host.address) as client:
        reply = client.call("kvmStatistics", {})
        assert reply["exits"] == "25"
        assert int(reply["until_realtime_ns"]) >= written.realtime_ns
        assert isinstance(reply["age_s"], float)
        assert reply["age_s"] >= 0
        host.exit(26, 30)
        assert client.statistics(fresh=True)[0].exits == 55
        with pytest.raises(RpcFaultError, match="give one of the two"):
            client.statistics(fresh=True, over_s=1)


def test_figures_end_when_they_were_written(host: Host) -> None:
    """After the bridge's end they are of its last moment, however much later they are shown."""
    host.exit(1, 25)
    host.engine.stop()
    assert host.engine.statistics is not None
    host.engine.statistics.close()
    host.writer.close()
    first, second = (
        json.loads(kvmlog("stat", "--ring", host.writer.path, "--json").stdout) for _ in range(2)
    )
    assert first["exits"] == 25
    assert first["until_realtime_ns"] == second["until_realtime_ns"]
    assert 0 < first["age_s"] < second["age_s"]


def test_one_caller_cannot_take_all_places_of_statistics(host: Host, tmp_path: Path) -> None:
    """Half of them at most, in calls that wait; another has the others. Brief calls need none."""
    tokens = tmp_path / "tokens"
    made = kvmlog("rpc", "--token-file", str(tokens), "--new-token", "engine").stdout.strip()
    bearer = f"Authorization: Bearer {made}\r\n"
    long, short, fresh, brief = (
        post(dumps(({**over, "by": ["reason"]},), "kvmStatistics").encode(), headers=bearer)
        for over in ({"over_s": 60}, {"over_s": 0.1}, {"fresh": True}, {})
    )
    extra = ["--token-file", str(tokens)]
    ring = Path(host.writer.path)
    with (
        rpc_server(ring, ring.with_name("switch"), extra=extra) as server,
        contextlib.ExitStack() as stack,
    ):
        links = [stack.enter_context(server.connect()) for _ in range(5)]
        for link in links:
            link.sendall(long)
        # The fifth of them is told at once that four are under way; those say nothing yet.
        refusal = b"4 calls of yours of kvmStatistics with over_s or fresh are"
        (told,), _, _ = select.select(links, [], [], HANG_S)
        assert refusal in told.recv(65_536)
        assert refusal in server.exchange(short)
        assert refusal in server.exchange(fresh)
        answers: list[bytes] = []
        callers = [
            threading.Thread(target=lambda: answers.append(server.exchange(brief)))
            for _ in range(BRIEF)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert [b"<fault>" in answer for answer in answers] == [False] * BRIEF
        with Client(f"{server.host}:{server.port}") as client:
            assert client.statistics(Query(By.REASON), over_s=0.1)[0].exits == 0


def test_all_places_of_statistics_are_bounded() -> None:
    """Whoever has them; each that is given back is free."""
    with contextlib.ExitStack() as stack:
        for number in range(8):
            stack.enter_context(PLACES.hold(str(number // 4)))
        for who, said in (
            ("0", "4 calls of yours of kvmStatistics with over_s or fresh are under way; "),
            ("c", "8 calls of kvmStatistics with over_s or fresh are under way; "),
        ):
            with pytest.raises(Fault) as busy, PLACES.hold(who):
                pass
            assert (busy.value.faultCode, busy.value.faultString) == (
                113,
                said + "try again later.",
            )
    assert PLACES.remembered() == 0


def test_calls_at_one_time_share_a_copy(host: Host) -> None:
    """Until the bridge has written anew; one that nobody uses is gone."""
    shared = SharedSnapshot()
    with StatisticsReader(host.writer.path + SUFFIX) as one, StatisticsReader(one.path) as two:
        first = shared.recent(one)
        assert shared.recent(two) is first
        later = shared.copy(two)
        assert later is not first
        assert shared.recent(one) is later
        host.engine.reset()
        assert shared.recent(two) is not later
