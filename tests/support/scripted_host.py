# SPDX-License-Identifier: GPL-2.0-or-later
"""A host for tests: a bridge's engine with a source that the test plays, and a real server."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.bridge.unix_server import UnixServer
from kvmlog.engine.engine import Engine
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from tests.support.bridge_process import kvmlog, until
from tests.support.rpc_process import Server, rpc_server
from tests.support.scripted_source import ScriptedSource
from tests.support.served_switch import served

SLOTS = 4_096


@dataclass
class Host:
    """All of one: engine, source, ring and server."""

    engine: Engine
    source: ScriptedSource
    writer: RingWriter
    server: Server
    switch: Path

    @property
    def address(self) -> str:
        """HOST:PORT of the server."""
        return f"{self.server.host}:{self.server.port}"

    def remote(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One run of `kvmlog remote` against it."""
        return kvmlog("remote", self.address, *arguments)

    def exit(self, first: int, count: int) -> None:
        """Have so many exits happen, and wait until the pump has them."""
        before = self.engine.pump.statistics()["records"]
        self.source.deliver(first, count)
        until(lambda: self.engine.pump.statistics()["records"] == before + count)


@contextlib.contextmanager
def scripted_host(folder: Path) -> Iterator[Host]:
    """Run a host that is off, with its files in the folder."""
    source = ScriptedSource()
    with RingWriter(str(folder / "ring"), SLOTS) as writer:
        statistics = StatisticsWriter(str(folder / "ring.statistics"), writer, 1)
        engine = Engine(writer, source, statistics=statistics)
        engine.start()
        switch = folder / "switch"
        with (
            served(UnixServer(str(switch), Dispatcher(engine, dict))),
            rpc_server(folder / "ring", switch) as server,
        ):
            yield Host(engine, source, writer, server, switch)
        engine.stop()
        statistics.close()
