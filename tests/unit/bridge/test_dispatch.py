# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands: what is answered to what, and that everything is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvmlog.bridge.dispatch import PENDING_SHOWN, Dispatcher
from kvmlog.bridge.udp_server import UdpServer
from kvmlog.control.protocol import COMMAND_BYTES
from kvmlog.control.udp_address import parse_address
from kvmlog.engine.engine import Engine
from kvmlog.guests.registry import GuestRegistry
from kvmlog.ring.records import unpack_records
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import SwitchError
from tests.support import records as make
from tests.support.proc_tree import FakeProc
from tests.support.scripted_source import ScriptedSource


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    """A host with two guests."""
    processes = FakeProc(tmp_path / "proc")
    processes.begin(100, 5_000, [b"qemu-system-x86_64", b"-name", b"guest=web1"])
    processes.begin(200, 6_000, [b"qemu-system-x86_64", b"-name", "guest=d\u00e9j\u00e0".encode()])
    return processes


@pytest.fixture
def switch(tmp_path: Path, proc: FakeProc) -> Iterator[Dispatcher]:
    """Yield a dispatcher on an engine whose source is present."""
    with RingWriter(str(tmp_path / "ring"), 1024) as writer:
        registry = GuestRegistry(str(tmp_path / "ring.guests"), root=proc.root)
        engine = Engine(writer, ScriptedSource(), registry)
        engine.start()
        yield Dispatcher(engine, lambda: {"pid": 7})
        engine.stop()


@pytest.mark.parametrize("ending", [b"", b"\0", b"\n", b"\r\n", b"\n\0", b"\0\n"])
def test_the_ancestors_commands_with_every_ending(switch: Dispatcher, ending: bytes) -> None:
    """A NUL and a newline at the end are optional."""
    assert switch.answer("udp", b"on" + ending) == b"ok on"
    assert switch.engine.state() == "on"
    assert switch.answer("udp", b"off" + ending) == b"ok off"
    assert switch.engine.state() == "off"


def test_status_is_one_line_of_json(switch: Dispatcher) -> None:
    """The line has state, source, pump, the request, and the commands counted so far."""
    switch.answer("udp", b"hello")
    answer = switch.answer("unix", b"status")
    assert answer is not None
    assert answer.startswith(b"ok status {")
    assert b"\n" not in answer
    status = json.loads(answer.removeprefix(b"ok status "))
    assert (status["state"], status["wanted"], status["pid"]) == ("off", "off", 7)
    assert status["source"]["name"] == "scripted"
    assert status["commands"] == {"udp": {"unknown": 1}, "unix": {"status": 1}}


def test_pending_exits_longest_first(switch: Dispatcher) -> None:
    """Those of the source while on, no more than fit into an answer; none over UDP."""
    source = switch.engine.source
    assert isinstance(source, ScriptedSource)
    source.pending_records = b"".join(
        make.exit_bytes(reason=0x7B, exit_ns=ns)
        for ns in range(1_000, 1_000 - PENDING_SHOWN - 2, -1)
    )
    assert switch.answer("unix", b"pending") == b'ok pending {"count":0,"records":""}'
    switch.answer("unix", b"on")
    answer = switch.answer("unix", b"pending")
    assert answer is not None
    reported = json.loads(answer.removeprefix(b"ok pending "))
    records = unpack_records(bytes.fromhex(reported["records"]))
    assert reported["count"] == PENDING_SHOWN + 2
    first = 1_000 - PENDING_SHOWN - 1
    assert [record.ns for record in records] == list(range(first, first + PENDING_SHOWN))
    refused = switch.answer("udp", b"pending")
    assert refused is not None
    assert refused.startswith(b"error: pending is asked for over the local socket")
    source.present = False
    assert (switch.answer("unix", b"pending") or b"").startswith(b"error: the scripted source")


def test_pending_exits_of_a_guest_are_chosen_before_they_are_cut(switch: Dispatcher) -> None:
    """However many of other guests have waited longer."""
    source = switch.engine.source
    assert isinstance(source, ScriptedSource)
    others = [make.exit_bytes(guest=2, exit_ns=ns) for ns in range(PENDING_SHOWN + 9)]
    own = [make.exit_bytes(guest=guest, exit_ns=9_000 + guest) for guest in (1, 3)]
    source.pending_records = b"".join(others + own)
    switch.answer("unix", b"on")
    answer = switch.answer("unix", b'pending {"guests": [3, 1]}')
    assert answer is not None
    reported = json.loads(answer.removeprefix(b"ok pending "))
    assert reported == {"count": 2, "records": b"".join(own).hex()}


def test_on_for_a_guest_and_a_time(switch: Dispatcher) -> None:
    """The answer has what was matched and granted; status says what is wanted."""
    answer = switch.answer("unix", b'on {"vm": ["web1", "200"], "for_s": 60}')
    assert answer == b'ok on {"matched": {"web1": [100], "200": [200]}, "for_s": 60}'
    status = switch.status()
    assert (status["state"], status["wanted"]) == ("on", "on")
    assert status["filter"] == {"vm": ["web1", "200"], "tgids": 2}
    assert 0 < status["lease_s"] <= 60
    assert status["guests"] == {"running": 2}
    reported = json.loads((switch.answer("udp", b"status") or b"").removeprefix(b"ok status "))
    assert reported["filter"] == {"tgids": 2}

    assert switch.answer("unix", b'on {"for_s": 0.5}') == b'ok on {"for_s": 0.5}'
    assert switch.status()["filter"] is None
    assert switch.answer("udp", b"on") == b"ok on"
    assert switch.status()["lease_s"] is None


def test_an_unknown_guest_lists_those_there_are(switch: Dispatcher) -> None:
    """Tracing is as it was; a name that is no Unicode text has a sentence too."""
    switch.answer("unix", b'on {"vm": ["web1"]}')
    refused = switch.answer("unix", b'on {"vm": ["web1", "web2"]}')
    assert refused is not None
    assert refused.startswith(b"error: no running guest has the name, UUID or pid 'web2'; ")
    assert refused.decode().endswith("name one of: web1 (pid 100), d\u00e9j\u00e0 (pid 200)")
    assert (switch.answer("unix", b'on {"vm": ["\\ud800"]}') or b"").startswith(
        b"error: no running"
    )
    assert switch.status()["filter"] == {"vm": ["web1"], "tgids": 1}
    assert switch.status()["commands"]["unix"] == {"on": 3, "failed": 2}


def test_guests_are_looked_for(switch: Dispatcher, proc: FakeProc) -> None:
    """The answer counts those that run now, and the file has their names."""
    assert switch.answer("unix", b"guests") == b'ok guests {"running": 2}'
    proc.end(100)
    assert switch.answer("unix", b"guests") == b'ok guests {"running": 1}'
    assert "web1" in Path(switch.engine.registry.path).read_text()


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (b"", "empty"),
        (b"\0\n", "empty"),
        (b"x" * (COMMAND_BYTES + 1), "oversized"),
        (b"\xff\xfe", "not_ascii"),
        (b"on\x07", "not_ascii"),
        ("ön".encode(), "not_ascii"),
        (b"ON", "unknown"),
        (b"on off", "unknown"),
        (b" on", "unknown"),
        (b"%s%n", "unknown"),
    ],
)
def test_what_is_no_command_is_refused_and_counted(
    switch: Dispatcher, command: bytes, kind: str
) -> None:
    """One sentence each, nothing switched."""
    answer = switch.answer("udp", command)
    assert answer is not None
    assert answer.startswith(b"error: ")
    assert answer.isascii()
    assert len(answer) < 200
    assert switch.status()["commands"] == {"udp": {kind: 1}}
    assert switch.engine.state() == "off"


def test_a_command_that_was_cut_is_oversized(switch: Dispatcher) -> None:
    """Even when what is left looks like one."""
    answer = switch.answer("udp", b"on", truncated=True)
    assert answer is not None
    assert answer.startswith(b"error: a command has at most 512 bytes")


@pytest.mark.parametrize("answer", [b"ok on", b"ok status {}", b"error: something"])
def test_an_answer_is_not_answered(switch: Dispatcher, answer: bytes) -> None:
    """Two bridges sent to each other by a forged sender fall silent."""
    assert switch.answer("udp", answer) is None
    assert switch.status()["commands"] == {"udp": {"answer": 1}}


def test_a_refused_command_is_an_error_and_counted(switch: Dispatcher) -> None:
    """Not acknowledged means not "ok"."""
    source = switch.engine.source
    assert isinstance(source, ScriptedSource)
    source.refusal = "no"
    assert switch.answer("udp", b"on") == b"error: no"
    assert switch.status()["commands"] == {"udp": {"on": 1, "failed": 1}}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(command=st.binary(max_size=COMMAND_BYTES + 10))
def test_any_bytes_are_answered_or_dropped(switch: Dispatcher, command: bytes) -> None:
    """Never a traceback."""
    answer = switch.answer("udp", command)
    assert answer is None or answer.startswith((b"ok ", b"error: "))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:50000", ("127.0.0.1", 50_000)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:50000", ("::1", 50_000)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    """HOST:PORT."""
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "50000", ":50000", "localhost:", "h:-1", "h:65536", "h:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The refusal gives an example of an address."""
    with pytest.raises(SwitchError, match="give HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize("text", ["0.0.0.0:50000", "192.0.2.1:50000", "[::]:50000"])
def test_nothing_listens_beyond_loopback_without_a_key(switch: Dispatcher, text: str) -> None:
    """And the sentence says what to do."""
    with pytest.raises(SwitchError, match=r"without a key .* on loopback only.*--udp-key"):
        UdpServer(text, switch)
