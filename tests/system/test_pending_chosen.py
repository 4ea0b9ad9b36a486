# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog pending --vm` and kvmPending: a guest's vCPUs, however many others have waited longer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.bridge.dispatch import PENDING_SHOWN, Dispatcher
from kvmlog.bridge.unix_server import UnixServer
from kvmlog.engine.engine import Engine
from kvmlog.guests.registry import TICK_NS, GuestRegistry
from kvmlog.ring.records import GuestRecord, decode_record
from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver.methods import records
from tests.support import records as make
from tests.support.bridge_process import kvmlog
from tests.support.proc_tree import FakeProc
from tests.support.rpc_calls import call_of
from tests.support.scripted_source import ScriptedSource
from tests.support.served_switch import served

START = 5_000


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Ring and socket of a host: more vCPUs of web2 than an answer has, then one of web1."""
    proc = FakeProc(tmp_path / "proc")
    registry = GuestRegistry(str(tmp_path / "ring.guests"), root=proc.root)
    now = time.monotonic_ns()
    for number, name in ((1, "web1"), (2, "web2")):
        proc.begin(100 * number, START, [b"qemu-system-x86_64", b"-name", name.encode()])
        raw = make.guest_bytes(
            b"q", guest=number, tgid=100 * number, ns=now, start_boottime_ns=START * TICK_NS
        )
        announced = decode_record(raw)
        assert isinstance(announced, GuestRecord)
        registry.announce(announced)
    registry.save()
    source = ScriptedSource()
    exits = [make.exit_bytes(guest=2, exit_ns=now + n) for n in range(PENDING_SHOWN + 9)]
    source.pending_records = b"".join([*exits, make.exit_bytes(guest=1, exit_ns=now + 10**6)])
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        engine = Engine(writer, source, registry)
        engine.start()
        engine.switch(True)
        with served(UnixServer(str(tmp_path / "switch"), Dispatcher(engine, dict))):
            yield writer.path, str(tmp_path / "switch")
        engine.stop()


def test_pending_of_a_guest(places: tuple[str, str]) -> None:
    """The command lists it, and nothing is left out."""
    done = kvmlog("pending", "--ring", places[0], "--switch", places[1], "--vm", "web1")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[2] for line in done.stdout.splitlines()[1:]] == ["web1"]


def test_kvm_pending_of_a_guest(places: tuple[str, str]) -> None:
    """The call lists it, and tells of the others only when they are chosen."""
    reply = records.pending(call_of(places[0], {"vm": ["web1"]}, switch=places[1]))
    assert [int(one["guest"]) for one in reply["records"]] == [1]
    assert (int(reply["pending"]), int(reply["left_out"])) == (1, 0)
    reply = records.pending(call_of(places[0], {"vm": ["web2"]}, switch=places[1]))
    assert (int(reply["pending"]), int(reply["left_out"])) == (PENDING_SHOWN + 9, 9)
