# SPDX-License-Identifier: GPL-2.0-or-later
"""Times of day as users get them: of the host, as its clocks stood then, whoever asks and when.

A bridge's engine with a source that the test plays; commands, here and remote, as real processes
in another zone than the bridge's.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.bridge.unix_server import UnixServer
from kvmlog.client import Client
from kvmlog.engine.engine import Engine
from kvmlog.guests.registry import GuestRegistry
from kvmlog.ring.reader import RingReader
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.util import units
from tests.support import records as make
from tests.support.bridge_process import HANG_S, KVMLOG, until
from tests.support.clocks import set_clocks
from tests.support.proc_tree import FakeProc
from tests.support.rpc_process import Server, rpc_server
from tests.support.scripted_source import ScriptedSource
from tests.support.served_switch import served

HERE, HERE_S = "HERE-5:45", 20_700
THERE = "THERE+3"
SLOTS = 4_096
HOUR_NS = 3_600 * units.NS_PER_S


class Host:
    """A host in the zone HERE, with a guest, and a server that was started with another TZ."""

    def __init__(self, folder: Path, writer: RingWriter, source: ScriptedSource) -> None:
        self.folder = folder
        self.writer = writer
        self.source = source
        self.server: Server

    def run(self, command: str, *options: str, remote: bool = False) -> str:
        """What a command prints to somebody in the zone THERE."""
        places = ["--ring", str(self.folder / "ring")]
        if command != "dump":
            places += ["--switch", str(self.folder / "switch")]
        if remote:
            words = ["remote", f"{self.server.host}:{self.server.port}", command, *options]
        else:
            words = [command, *options, *places]
        done = subprocess.run(
            [*KVMLOG, *words],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=True,
            env=os.environ | {"TZ": THERE},
        )
        return done.stdout

    def objects(self, command: str, *options: str, remote: bool = False) -> list[dict[str, Any]]:
        """The same as JSON."""
        text = self.run(command, "--json", *options, remote=remote)
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host with one guest and one vCPU in an exit; tracing is on."""
    monkeypatch.setenv("TZ", HERE)
    proc = FakeProc(tmp_path / "proc")
    proc.begin(100, 5_000, [b"qemu-system-x86_64", b"-name", b"guest=web1"])
    source = ScriptedSource()
    with RingWriter(str(tmp_path / "ring"), SLOTS) as writer:
        statistics = StatisticsWriter(str(tmp_path / "ring.statistics"), writer, 1)
        registry = GuestRegistry(str(tmp_path / "ring.guests"), root=proc.root)
        engine = Engine(writer, source, registry, statistics=statistics)
        engine.start()
        engine.switch(True)
        found = Host(tmp_path, writer, source)
        with (
            served(UnixServer(str(tmp_path / "switch"), Dispatcher(engine, dict))),
            rpc_server(
                tmp_path / "ring", tmp_path / "switch", prefix=("env", f"TZ={THERE}")
            ) as found.server,
        ):
            yield found
        engine.stop()
        statistics.close()
    monkeypatch.undo()
    time.tzset()


def exit_now(host: Host) -> int:
    """An exit in the ring; return its time."""
    exit_ns = time.monotonic_ns()
    host.writer.append(make.exit_bytes(exit_ns=exit_ns, reason=0x78))
    return exit_ns


@pytest.mark.parametrize("remote", [False, True])
def test_all_commands_show_the_hosts_zone(host: Host, remote: bool) -> None:
    """Tables and JSON of dump, pending, guests and stat agree."""
    exit_ns = exit_now(host)
    host.source.pending_records = make.exit_bytes(exit_ns=exit_ns, reason=0x78)
    with RingReader(host.writer.path) as reader:
        wall = reader.clocks().at(exit_ns)
    assert wall.utc_offset_s == HERE_S

    column = units.time_column(*wall)
    assert column in host.run("dump", "-n", "1", remote=remote)
    assert column in host.run("pending", remote=remote)
    iso = units.iso_time(*wall)
    for command in ("dump", "pending"):
        assert host.objects(command, remote=remote)[-1]["time"] == iso

    (guest,) = host.objects("guests", remote=remote)
    since_ns = guest["first_seen_realtime_ns"]
    assert guest["since"] == units.iso_time(since_ns, HERE_S)
    assert f" {units.date_time(since_ns, HERE_S)} " in host.run("guests", remote=remote)

    (report,) = host.objects("stat", remote=remote)
    began_ns = report["since_realtime_ns"]
    assert report["since"] == units.iso_time(began_ns, HERE_S)
    assert report["until"].endswith("+05:45")
    heading = host.run("stat", remote=remote).splitlines()[0]
    assert heading.startswith(f"{units.date_time(began_ns, HERE_S)} to ")


def times(host: Host, exit_ns: int) -> dict[str, object]:
    """An exit's time of day by all ways to learn it."""

    def of(objects: list[dict[str, Any]]) -> object:
        (one,) = [one for one in objects if one.get("exit_ns") in (exit_ns, str(exit_ns))]
        return one["time"], int(one["wall_ns"])

    with Client(f"{host.server.host}:{host.server.port}") as client:
        structs = client.call("kvmRecords", {"form": "structs"})["records"]
        page = client.records(1_000)
        text = client.call("getKvmLog")
    # The first line is the header; sentences are records other than exits.
    line = [line for line in host.run("dump").splitlines() if " -- " not in line][1]
    return {
        "dump": line[: len("11-20 19:46:02.123456")],
        "dump --json": of(host.objects("dump")),
        "remote dump --json": of(host.objects("dump", remote=True)),
        "structs": of(structs),
        "client": page.clocks.at(exit_ns),
        "getKvmLog": text[-9:],
    }


def set_forward(host: Host) -> None:
    """The clock is set forward by an hour, until the bridge sees that it was not."""
    header = host.writer.header()
    offset_ns = header.realtime_ns - header.monotonic_ns
    set_clocks(host.writer, (time.monotonic_ns(), offset_ns + HOUR_NS, HERE_S), keep=True)


def set_zone(host: Host) -> None:
    """Summer time of half an hour ends."""
    os.environ["TZ"] = "HERE-5:15"
    until(lambda: host.writer.header().utc_offset_s == HERE_S - 1_800)


@pytest.mark.parametrize("change", [set_forward, set_zone])
def test_no_time_depends_on_when_it_is_read(host: Host, change: Callable[[Host], None]) -> None:
    """Before and after the clock was set, or the zone changed; exits after it have the new one."""
    first = exit_now(host)
    before = times(host, first)
    change(host)
    second = exit_now(host)
    assert times(host, first) == before
    with Client(f"{host.server.host}:{host.server.port}") as client:
        clocks = client.records(1).clocks
    assert clocks.pair(first) != clocks.pair(second)


def test_a_page_that_ends_before_a_step_has_the_clocks_before_it(host: Host) -> None:
    """Who reads only the block's header, by the sum in docs/rpc.md, gets the right times, too."""
    first = exit_now(host)
    with RingReader(host.writer.path) as reader:
        head, wall = reader.info().head, reader.clocks().at(first)
        ring_id = reader.info().ring_id
    set_forward(host)
    exit_now(host)
    with Client(f"{host.server.host}:{host.server.port}") as client:
        span = client.records(1, since=(ring_id, head - 1)).span
    assert first + span.realtime_ns - span.monotonic_ns == wall.realtime_ns
    assert span.utc_offset_s == HERE_S
