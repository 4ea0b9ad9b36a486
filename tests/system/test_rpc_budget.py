# SPDX-License-Identifier: GPL-2.0-or-later
"""A remote caller is told, once, that tracing was ended for its cost: through a real RPC server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault

import pytest

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.bridge.unix_server import UnixServer
from kvmlog.engine.budget import Budget
from kvmlog.engine.engine import Engine
from kvmlog.ring.writer import RingWriter
from tests.support.rpc_process import rpc_server
from tests.support.scripted_source import ScriptedSource
from tests.support.served_switch import served


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Off for its cost, with a switch that answers."""
    with RingWriter(str(tmp_path / "ring"), 1024) as writer:
        log_engine = Engine(writer, ScriptedSource(), budget=Budget(2))
        log_engine.start()
        log_engine.budget.stop()
        with served(UnixServer(str(tmp_path / "switch"), Dispatcher(log_engine, dict))):
            yield log_engine
        log_engine.stop()


@pytest.mark.parametrize(("word", "done", "then"), [("on", "off", "on"), ("off", "off", "off")])
def test_the_legacy_call_is_told_once_and_then_works(
    engine: Engine, tmp_path: Path, word: str, done: str, then: str
) -> None:
    """A fault of its own with the sentence; the next call is carried out."""
    sentence = engine.budget.describe()["stopped"]
    with (
        rpc_server(tmp_path / "ring", tmp_path / "switch") as server,
        server.client() as client,
    ):
        with pytest.raises(Fault) as told:
            client.kvmLogSwitch(word)
        assert (told.value.faultCode, told.value.faultString) == (105, sentence)
        assert engine.state() == done
        assert client.kvmLogSwitch(word) == "true"
        assert engine.state() == then
