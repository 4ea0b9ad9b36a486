# SPDX-License-Identifier: GPL-2.0-or-later
"""The structured calls, through a real server: by the typed client, by kvmlog remote, and by Perl.

A bridge's engine with a source that the test plays is at the other end.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.client import Client, RpcError, RpcFaultError
from kvmlog.control.sampling import Sampling
from kvmlog.guests.model import encode
from kvmlog.native import lib
from kvmlog.ring.reader import boot_id
from tests.support import records as make
from tests.support import statistics_rows
from tests.support.bridge_process import kvmlog
from tests.support.rpc_process import KVMLOG, Server, rpc_server
from tests.support.scripted_host import SLOTS, Host, scripted_host

PERL = Path(__file__).parents[1] / "support" / "foreign_client.pl"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host that is off."""
    with scripted_host(tmp_path) as made:
        yield made


def test_the_switch_takes_and_tells_everything(host: Host) -> None:
    """Time, sampling and cap reach the source; off ends it; refusals have codes and sentences."""
    recorded = Sampling(10, 5, 95, 1_000)
    with Client(host.address) as client:
        done = client.switch(True, for_s=60, sampling=recorded)
        assert (done.on, done.matched, done.for_s, done.sampling) == (True, {}, 60.0, recorded)
        asked = host.source.configs[-1]
        assert (asked.one_in, asked.on_ms, asked.off_ms) == (10, 5, 95)
        assert 59_000 < asked.lease_ms <= 60_000
        bridge = client.status().bridge
        assert bridge is not None
        assert bridge["sampling"] == {**vars(recorded), "one_in_now": 10}
        with pytest.raises(RpcFaultError, match="no running guest") as refused:
            client.switch(True, vm=["nobody"])
        assert refused.value.code == 101
        assert not client.switch(False).on
        assert host.engine.state() == "off"
    assert "switched tracing on, one_in 10, on_ms 5, off_ms 95" in host.server.stop()


@pytest.mark.parametrize(
    ("method", "parameter", "sentence"),
    [
        ("kvmSwitch", {}, "kvmSwitch needs the member on."),
        ("kvmSwitch", {"on": 1}, "kvmSwitch: on is 1; give a boolean."),
        ("kvmSwitch", {"on": True, "won_in": 2}, "no member 'won_in' (did you mean one_in?)"),
        ("kvmSwitch", {"on": True, "for_s": 0}, "for_s is 0; give seconds from 0.001 to 31536000"),
        ("kvmSwitch", {"on": True, "on_ms": 5}, '"on_ms" is 5 without "off_ms"'),
        ("kvmSwitch", {"on": False, "for_s": 5}, "for_s with on false; off is for all guests"),
        ("kvmRecords", {"count": 65_537}, "count is 65537; give a whole number from 1 to 65536."),
        ("kvmRecords", {"count": 1_025, "form": "structs"}, "count is 1025; give 1 to 1024"),
        ("kvmRecords", {"since": "0"}, "a position is since and ring_id; give both"),
        ("kvmRecords", {"since": "0", "ring_id": "x" * 32}, "give the 32 hex digits of an earlier"),
        ("kvmRecords", {"since": "0", "ring_id": "ab " * 10 + "ab"}, "give the 32 hex digits of"),
        ("kvmRecords", {"reason": ["hlz"]}, "'hlz' is not an exit reason; similar: HLT"),
        ("kvmRecords", {"form": "text"}, "form is 'text'; give one of binary, structs."),
        ("kvmStatistics", {"by": ["vm"]}, "'vm' is not a grouping; give one or more of guest"),
        ("kvmStatistics", {"by": ["return"], "sort": "p50"}, "sort 'p50': groups by return"),
        ("kvmStatistics", {"over_s": 61}, "over_s is 61; give seconds from 0.1 to 60."),
        ("kvmGuests", ["all"], "kvmGuests takes a struct, not ['all']."),
        ("kvmExplain", "hlz", "'hlz' is not an exit reason; similar: HLT"),
        ("system.methodHelp", "kvmRecord", "no method 'kvmRecord' (did you mean kvmRecords?)"),
    ],
)
def test_what_cannot_be_is_refused(
    shared: Server, method: str, parameter: object, sentence: str
) -> None:
    """The member, its value, and what it takes, in one sentence of ASCII."""
    with (
        Client(f"{shared.host}:{shared.port}") as client,
        pytest.raises(RpcFaultError, match=re.escape(sentence)) as refused,
    ):
        client.call(method, parameter)
    assert refused.value.code in (-32601, -32602)
    assert str(refused.value).isascii()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has nothing, for calls that it refuses."""
    folder = tmp_path_factory.mktemp("nothing")
    with rpc_server(folder / "ring", folder / "switch") as server:
        yield server


def test_every_method_says_what_it_is(shared: Server) -> None:
    """All are listed, with help, and with signatures of XML-RPC's own types."""
    types = {"string", "boolean", "int", "struct", "array"}
    with shared.client() as client:
        names = client.system.listMethods()
        assert len(names) == 36
        for name in names:
            assert client.system.methodHelp(name).endswith(".")
            assert {one for all_ in client.system.methodSignature(name) for one in all_} <= types


def test_records_are_paged_without_a_gap(host: Host) -> None:
    """Each once, in order, from the first to the last; counters go with each page."""
    with Client(host.address) as client:
        client.switch(True)
        for first in range(1, 901, 100):
            host.source.deliver(first, 100)
        client.switch(False)
        at, times, pages = (host.writer.ring_id, 0), [], 0
        while True:
            page = client.records(200, at)
            times += [one.ns for one in page.decoded()]
            at, pages = (page.span.ring_id, page.span.next_index), pages + 1
            assert (page.span.written, page.span.overwritten) == (900, 0)
            if not page.more:
                break
        assert (times, pages) == (list(range(1, 901)), 5)
        assert client.records(200, at).raw == b""
        assert len(client.records(65_536).decoded()) == 900


def test_records_of_some_reasons(host: Host) -> None:
    """Chosen in the server, also across pages; the newest are the newest of these."""
    reasons = [0x78 if n % 10 == 0 else 0x7B for n in range(1_000)]
    host.writer.append(
        b"".join(make.exit_bytes(exit_ns=n, reason=r) for n, r in enumerate(reasons))
    )
    with Client(host.address) as client:
        newest = client.records(3, reason=["hlt"])
        assert [one.ns for one in newest.decoded()] == [970, 980, 990]
        first = client.records(60, (host.writer.ring_id, 0), reason=["hlt"])
        rest = client.records(60, (host.writer.ring_id, first.span.next_index), reason=["hlt"])
        assert [one.ns for one in first.decoded() + rest.decoded()] == list(range(0, 1_000, 10))
        assert (first.more, rest.more) == (True, False)


def test_a_position_of_another_ring_begins_anew_and_overwritten_records_are_counted(
    host: Host,
) -> None:
    """The reply tells a caller that its ring was replaced, or how many records it missed."""
    host.writer.append(b"".join(make.exit_bytes(exit_ns=n) for n in range(5_000)))
    with Client(host.address) as client:
        other = client.records(10, ("00" * 16, 7))
        assert (other.replaced, other.span.ring_id) == (True, host.writer.ring_id)
        late = client.records(10, (host.writer.ring_id, 100))
        assert late.replaced is False
        assert late.span.first_index == 100 + late.span.overwritten
        assert late.decoded()[0].ns == late.span.first_index
        most = client.records(65_536)
        assert len(most.decoded()) == SLOTS // 4


def test_structs_and_block_tell_the_same(host: Host) -> None:
    """Numbers beyond 32 bits as digits."""
    fields = {"exit_ns": 2**40, "rip": 2**63, "flags": lib.KVMLOG_F_RIP_VALID, "reason": 0x78}
    host.writer.append(make.exit_bytes(**fields))
    with Client(host.address) as client:
        reply = client.call("kvmRecords", {"form": "structs"})
        block = client.records()
    one = reply["records"][0]
    assert (one["exit_ns"], one["rip"], one["reason_name"]) == (str(2**40), str(2**63), "hlt")
    decoded = block.decoded()[0]._asdict()
    assert (decoded["exit_ns"], decoded["rip"]) == (2**40, 2**63)
    assert {name: reply[name] for name in block.span._fields} == {
        name: str(value) for name, value in block.span._asdict().items()
    }


def test_remote_commands_print_what_the_local_ones_do(host: Host) -> None:
    """One style: but for moving clocks the same lines."""
    assert host.remote("switch", "on", "--one-in", "4").stdout.splitlines() == [
        "tracing all guests",
        "one exit in 4 on average is recorded",
    ]
    host.source.pending_records = make.exit_bytes(exit_ns=5, reason=0x78)
    assert "hlt" in host.remote("pending").stdout
    host.source.deliver(1, 30)
    assert host.remote("switch", "off").stdout == "ok off\n"
    places = ("--ring", host.writer.path)
    assert host.remote("dump", "-n", "5").stdout == kvmlog("dump", "-n", "5", *places).stdout
    as_json = host.remote("dump", "-n", "5", "--json").stdout
    assert [json.loads(line)["exit_ns"] for line in as_json.splitlines()] == list(range(26, 31))
    assert host.remote("explain", "npf").stdout == kvmlog("explain", "npf").stdout
    switch = str(Path(host.writer.path).with_name("switch"))
    # Guests of somebody else may run here.
    assert host.remote("guests").stdout == kvmlog("guests", *places, "--switch", switch).stdout
    remote, local = (
        re.sub(r"heartbeat .*", "", done.stdout)
        for done in (host.remote("status"), kvmlog("status", *places, "--switch", switch))
    )
    # But for what is advised.
    there = local.replace("(kvmlog guests)", f"(kvmlog remote {host.address} guests)")
    assert there != local
    assert remote == there


def test_remote_commands_advise_what_works_from_here(host: Host) -> None:
    """Commands that reach the other host, and files that are said to be its own."""
    ended = statistics_rows.named(7, "old", ended_realtime_ns=5)
    Path(f"{host.writer.path}.guests").write_bytes(encode(boot_id(), [ended]))
    host.engine.registry.path = f"{host.writer.path}.elsewhere"
    assert host.remote("guests").stderr == (
        f"kvmlog: 1 guest that ended: kvmlog remote {host.address} guests --all\n"
    )
    assert "old" in host.remote("guests", "--all").stdout
    assert f"(kvmlog remote {host.address} switch on)" in host.remote("stat").stderr
    refused = host.remote("dump", "--reason", "hltt")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"`kvmlog remote {host.address} explain --list` lists all" in refused.stderr
    Path(f"{host.writer.path}.guests").unlink()
    unknown = host.remote("guests")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith(
        f"kvmlog: {host.address}: {host.writer.path}.guests: no bridge"
    )
    assert f"(kvmlog bridge on {host.address})" in unknown.stderr


def test_remote_tail_follows(host: Host) -> None:
    """Records from before, and those that come."""
    host.writer.append(make.exit_bytes(exit_ns=1, reason=0x78))
    command = ["remote", host.address, "tail", "-n", "1"]
    with subprocess.Popen([*KVMLOG, *command], stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        try:
            header, before = tail.stdout.readline(), tail.stdout.readline()
            host.writer.append(make.exit_bytes(exit_ns=2, reason=0x7B))
            after = tail.stdout.readline()
        finally:
            tail.terminate()
    assert header.startswith("TIME")
    assert ("hlt" in before, "io" in after) == (True, True)


def test_a_perl_client_needs_nothing_but_the_documentation(host: Host) -> None:
    """Legacy call, switch, binary records, statistics and faults by RPC::XML."""
    if subprocess.run(["perl", "-MRPC::XML::Client", "-e", "1"], capture_output=True).returncode:
        pytest.skip("needs RPC::XML of Perl; apt install librpc-xml-perl to run")
    host.engine.switch(on=True)
    host.source.deliver(1, 5)
    host.engine.switch(on=False)
    url = f"http://{host.address}/"
    done = subprocess.run(["perl", PERL, url], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[1:] == [
        "legacy true",
        "switch on=1 for_s=60.0 one_in=10",
        "block KVMLOGRB 1 count=3 ring=same first=2 next=5 bytes=0",
        *(f"record type={lib.KVMLOG_RECORD_EXIT} exit_ns={ns}" for ns in (3, 4, 5)),
        "statistics exits=5 rows=1 read_cr0=5",
        "fault -32602 kvmSwitch has no member 'won_in' (did you mean one_in?); it takes on, vm, "
        "for_s, one_in, on_ms, off_ms, max_per_s.",
    ]
    assert {"kvmRecords", "kvmSwitch", "getKvmLog"} <= set(lines[0].split()[1].split(","))


@pytest.mark.parametrize("address", ["http://x y", "a..b", "a" * 80, "", "::1", "h:0", "me@h"])
def test_remote_says_what_is_no_address(address: str) -> None:
    """One sentence with the remedy, and nothing is sent."""
    done = kvmlog("remote", address, "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r"kvmlog: '.*': no server's address; give HOST, HOST:PORT .* in \[brackets\]\n", done.stderr
    )


def test_connecting_is_tried_again_and_a_call_is_not() -> None:
    """A server that hangs up after reading is asked once; one that is not there is said so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with Client("127.0.0.1", port, timeout_s=20) as client:
            taken = []

            def hang_up() -> None:
                connection, _ = listener.accept()
                taken.append(connection.recv(65_536))
                connection.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            with pytest.raises(RpcError, match="the connection ended before the reply to kvmSwi"):
                client.switch(True)
            thread.join()
            listener.settimeout(0)
            with pytest.raises(BlockingIOError):
                listener.accept()
            assert len(taken) == 1
    with pytest.raises(RpcError, match=r"cannot be reached .*; is kvmlog rpc running there"):
        Client("127.0.0.1", port, connect_tries=2).status()
