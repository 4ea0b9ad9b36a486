# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine ends tracing that costs too much, and says so once to whoever asks next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.engine.budget import Budget
from kvmlog.engine.engine import Engine
from kvmlog.native import lib
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import SourceCost, SwitchConfig
from tests.support.scripted_source import ScriptedSource

SECOND = 1_000_000_000


class Host:
    """An engine on one CPU, with a limit of 2 %; its seconds pass when the test says so."""

    def __init__(self, writer: RingWriter) -> None:
        self.now_ns = SECOND
        self.source = ScriptedSource()
        budget = Budget(2, cpus=lambda: 1, clock=lambda: self.now_ns)
        self.engine = Engine(writer, self.source, budget=budget)
        self.switch = Dispatcher(self.engine, dict)

    def seconds(self, count: int, percent: float) -> None:
        """So many, in which the source takes this share."""
        for _ in range(count):
            self.now_ns += SECOND
            before = self.source.state.cost
            self.source.set(cost=SourceCost(before.probe_ns + round(percent * SECOND / 100), 0))
            self.engine.tick()

    def say(self, command: str, channel: str = "unix") -> str:
        """The answer to it."""
        answer = self.switch.answer(channel, command.encode())
        assert answer is not None
        return answer.decode()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Started, and switched on."""
    with RingWriter(str(tmp_path / "ring"), 1024) as writer:
        started = Host(writer)
        started.engine.start()
        assert started.say("on") == "ok on"
        yield started
        started.engine.stop()


def test_above_the_limit_it_goes_off_and_stays_off(host: Host) -> None:
    """The source is told why, nothing is wanted any more, and the status has it."""
    host.seconds(30, percent=1)
    assert host.engine.state() == "on"
    host.seconds(12, percent=50)
    assert (host.engine.state(), host.source.state.on) == ("off", False)
    assert host.source.configs[-1] == SwitchConfig(on=False, cause=lib.KVMLOG_SWITCH_BUDGET)
    host.seconds(5, percent=0)
    assert host.source.configured == [True, False]
    status = json.loads(host.say("status").removeprefix("ok status "))
    assert (status["wanted"], status["budget"]["limit_percent"]) == ("off", 2)
    assert "% of the CPUs' time (limit 2 %)" in status["budget"]["stopped"]


def test_a_spike_does_not_stop_it(host: Host) -> None:
    """One second at full load."""
    host.seconds(15, percent=0.5)
    host.seconds(1, percent=100)
    host.seconds(15, percent=0.5)
    assert host.engine.state() == "on"


def test_the_next_on_is_told_and_the_one_after_works(host: Host) -> None:
    """Also when others have asked for the status meanwhile."""
    host.seconds(12, percent=50)
    host.say("status")
    assert host.say("on").startswith("error: budget: tracing was switched off at ")
    assert host.engine.state() == "off"
    assert host.say("on") == "ok on"
    assert host.engine.state() == "on"
    assert json.loads(host.say("status").removeprefix("ok status "))["budget"]["stopped"] is None


def test_off_is_told_too_and_is_done(host: Host) -> None:
    """Tracing may have been switched on over UDP meanwhile."""
    host.seconds(12, percent=50)
    assert host.say("on", "udp") == "ok on"
    assert host.say("off").startswith("error: budget: ")
    assert (host.engine.state(), host.source.state.on) == ("off", False)
    assert host.say("off") == "ok off"


def test_commands_over_udp_take_nothing_away(host: Host) -> None:
    """Their senders may not read an answer: they are obeyed, and the next local one is told."""
    host.seconds(12, percent=50)
    assert (host.say("off", "udp"), host.say("on", "udp")) == ("ok off", "ok on")
    assert host.say("on").startswith("error: budget: ")
    assert host.say("on") == "ok on"


def test_a_source_that_went_leaves_no_share(host: Host) -> None:
    """And what it counts when it is back begins anew."""
    host.seconds(5, percent=1)
    host.source.present = False
    host.engine.tick()
    assert host.engine.budget.describe()["span_s"] == 0
    host.source.reload()
    host.source.present = True
    host.engine.tick()
    host.seconds(3, percent=1)
    reported = host.engine.budget.describe()
    assert (host.engine.state(), reported["probes_percent"]) == ("on", 1.0)
