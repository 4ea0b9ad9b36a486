# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine keeps the source in the wanted state, through absences, and the ring complete."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.engine.engine import Engine
from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import Record, unpack_records
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import CpuStatus, SourceStatus, SwitchConfig
from kvmlog.util.errors import SourceError
from tests.support.scripted_source import ScriptedSource


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    """A small ring."""
    with RingWriter(str(tmp_path / "ring"), 1024) as ring_writer:
        yield ring_writer


@pytest.fixture
def source() -> ScriptedSource:
    """Loaded."""
    return ScriptedSource()


@pytest.fixture
def engine(writer: RingWriter, source: ScriptedSource) -> Iterator[Engine]:
    """Started on both."""
    log_engine = Engine(writer, source)
    log_engine.start()
    yield log_engine
    log_engine.stop()


def times(writer: RingWriter) -> list[int]:
    """The times of the exits in the ring."""
    with RingReader(writer.path) as reader:
        records = unpack_records(reader.snapshot().records)
    return [record.ns for record in records if isinstance(record, Record)]


def test_on_and_off_reach_the_source_and_the_header(
    engine: Engine, source: ScriptedSource, writer: RingWriter
) -> None:
    """And only when something changes."""
    engine.switch(on=True)
    assert (engine.state(), source.state.on) == ("on", True)
    assert (writer.header().switched_on, writer.header().source) == (1, source.number)
    engine.switch(on=True)
    assert source.configured == [True]
    engine.switch(on=False)
    assert (engine.state(), source.state.on) == ("off", False)
    assert writer.header().switched_on == 0
    assert writer.header().source == source.number


def test_after_off_everything_that_was_delivered_is_in_the_ring(
    engine: Engine, source: ScriptedSource, writer: RingWriter
) -> None:
    """Also what the source sends while it switches off; counters published."""
    engine.switch(on=True)
    source.deliver(1, 3)
    source.deliver(4, 2, cpu=1)
    source.last_words = [b"one", b"two"]
    engine.switch(on=False)
    assert sorted(times(writer)) == [1, 2, 3, 4, 5, 9000, 9001]
    assert writer.counters()["emitted"] == 7
    assert writer.header().lost_messages == 0


def test_off_waits_for_a_source_that_is_still_delivering(
    engine: Engine, source: ScriptedSource, writer: RingWriter
) -> None:
    """A slow receiver's source is off at once, and its last batches come later."""
    engine.switch(on=True)
    source.deliver(1, 1)
    source.slow_batches = 5
    engine.switch(on=False)
    assert not source.state.stopping
    assert sorted(times(writer)) == [1, 9100, 9101, 9102, 9103, 9104]
    assert writer.counters()["emitted"] == 6
    assert writer.header().lost_messages == 0


def test_what_never_came_is_written_down_at_off(
    engine: Engine, source: ScriptedSource, writer: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last message of a CPU: no later one would show the gap."""
    monkeypatch.setattr("kvmlog.engine.connection.SETTLE_S", 0.05)
    engine.switch(on=True)
    source.deliver(1, 1)
    source.lose(2, 1)
    engine.switch(on=False)
    assert times(writer) == [1]
    assert writer.header().lost_messages == 1
    engine.switch(on=True)
    source.deliver(3, 1)
    engine.switch(on=False)
    assert times(writer) == [1, 3]
    assert writer.header().lost_messages == 1


def test_on_without_a_source_is_an_error_and_changes_nothing(writer: RingWriter) -> None:
    """A refused `on` does not take effect later."""
    source = ScriptedSource(present=False)
    engine = Engine(writer, source)
    engine.start()
    with pytest.raises(SourceError, match="not loaded"):
        engine.switch(on=True)
    assert engine.state() == "off"
    engine.switch(on=False)
    source.present = True
    engine.tick()
    assert (engine.state(), engine.connected, source.configured) == ("off", True, [])
    engine.stop()


def test_a_source_that_went_is_waited_for_and_switched_on_again(
    engine: Engine, source: ScriptedSource, writer: RingWriter
) -> None:
    """Unloaded while on; the ring's counters go on over the reload."""
    engine.switch(on=True)
    source.deliver(1, 3)
    engine.tick()
    source.present = False
    engine.tick()
    assert engine.state() == "waiting"
    assert engine.describe()["trouble"] == "the scripted source is not loaded"
    assert writer.header().switched_on == 0
    source.reload()
    source.present = True
    engine.tick()
    assert engine.state() == "on"
    source.deliver(10, 2)
    engine.switch(on=False)
    assert times(writer) == [1, 2, 3, 10, 11]
    assert writer.counters()["seen"] == 5


def test_what_came_before_the_source_went_is_counted(
    engine: Engine, source: ScriptedSource, writer: RingWriter
) -> None:
    """Although no status told of it."""
    engine.switch(on=True)
    source.deliver(1, 3)
    engine.tick()
    source.deliver(4, 2)
    source.reload()
    engine.tick()
    engine.tick()
    source.deliver(10, 4)
    engine.switch(on=False)
    assert len(times(writer)) == 9
    counters = writer.counters()
    assert (counters["seen"], counters["emitted"], counters["dropped"]) == (9, 9, 0)


def test_a_reload_between_two_looks_is_noticed(engine: Engine, source: ScriptedSource) -> None:
    """The source is there but has forgotten its receiver."""
    engine.switch(on=True)
    source.reload()
    engine.tick()
    engine.tick()
    assert engine.state() == "on"
    assert source.state.on


def test_on_right_after_a_reload_is_done(engine: Engine, source: ScriptedSource) -> None:
    """Nobody has to wait for the next look, whether tracing was on or off before."""
    for _ in range(2):
        source.reload()
        engine.switch(on=True)
        assert (engine.state(), source.state.on) == ("on", True)


def test_a_cold_on_asks_for_one_status(engine: Engine, source: ScriptedSource) -> None:
    """Switching on takes one configuration and the status after it, which the answer shows."""
    source.set(waiting_for="kvm_amd")
    before = source.status_requests
    engine.switch(on=True)
    assert source.status_requests - before == 1
    assert source.configured == [True]
    shown = engine.describe()["source"]
    assert (shown["on"], shown["config_epoch"], shown["waiting_for"]) == (True, 1, "kvm_amd")
    assert source.status_requests - before == 1


def test_drops_before_a_cold_on_are_not_counted_again(
    engine: Engine, source: ScriptedSource, writer: RingWriter
) -> None:
    """Drops are counted from the source's own count at the beginning of a session."""
    for session in range(2):
        engine.switch(on=True)
        cpus = {0: CpuStatus(dropped=5 * (session + 1), messages=0)}
        counters = {**source.state.counters, "dropped": 5 * (session + 1)}
        source.set(cpus=cpus, counters={**counters, "seen": counters["dropped"]})
        engine.switch(on=False)
    assert writer.counters()["dropped"] == 10
    assert engine.pump.statistics()["lost_records"] == 10


def test_off_right_after_the_source_went_is_acknowledged(
    engine: Engine, source: ScriptedSource
) -> None:
    """A source that is gone traces nothing, so `off` succeeds."""
    engine.switch(on=True)
    source.present = False
    engine.switch(on=False)
    assert (engine.state(), engine.connected) == ("off", False)


def test_off_while_waiting_ends_the_waiting(engine: Engine, source: ScriptedSource) -> None:
    """It is acknowledged: nothing traces, nothing will."""
    engine.switch(on=True)
    source.present = False
    engine.tick()
    engine.switch(on=False)
    assert engine.state() == "off"
    source.reload()
    source.present = True
    engine.tick()
    assert not source.state.on


def test_a_refusal_is_passed_on(engine: Engine, source: ScriptedSource) -> None:
    """The error has the source's words; off stays off."""
    source.refusal = "kvm_exit has another prototype"
    with pytest.raises(SourceError, match="kvm_exit has another prototype"):
        engine.switch(on=True)
    assert engine.state() == "off"


def test_a_source_that_switched_itself_off_is_switched_on_again(
    engine: Engine, source: ScriptedSource
) -> None:
    """Somebody else's command to the module does not end what was asked of the bridge."""
    engine.switch(on=True)
    source.set(on=False)
    engine.tick()
    assert engine.state() == "on"
    assert source.state.on


def test_a_lease_that_ended_is_not_undone(engine: Engine, source: ScriptedSource) -> None:
    """Whoever gave the source its lease wanted it to end; the next `on` is a new one."""
    engine.switch(on=True)
    source.set(lease_ms=500)
    engine.tick()
    source.set(on=False, attached=False, lease_ms=0)
    engine.tick()
    engine.tick()
    assert (engine.state(), source.state.on, source.configured) == ("off", False, [True])
    engine.switch(on=True)
    assert (engine.state(), source.state.on) == ("on", True)


def test_off_is_in_the_header_when_the_source_goes_meanwhile(
    engine: Engine, source: ScriptedSource, writer: RingWriter
) -> None:
    """It went between switching off and its last status."""
    engine.switch(on=True)
    switch = source.switch

    def switch_and_go(config: SwitchConfig) -> SourceStatus:
        status = switch(config)
        source.present = False
        return status

    source.switch = switch_and_go  # type: ignore[method-assign]
    engine.switch(on=False)
    assert (engine.state(), writer.header().switched_on) == ("off", 0)


def test_kvm_of_another_build_loaded_while_on_switches_off(
    engine: Engine, source: ScriptedSource
) -> None:
    """Its prototypes were not there to be checked when tracing was switched on."""
    engine.switch(on=True)
    source.refusal = "kvm_exit takes other arguments"
    engine.tick()
    assert engine.state() == "on"
    source.set(vendor="kvm_intel")
    engine.tick()
    assert (engine.state(), source.state.on) == ("off", False)
    assert engine.describe()["trouble"] == "kvm_exit takes other arguments"


def test_kvm_loaded_while_on_is_checked_once_and_traced(
    engine: Engine, source: ScriptedSource
) -> None:
    """Its prototypes are the expected ones."""
    engine.switch(on=True)
    source.set(vendor="kvm_intel")
    engine.tick()
    engine.tick()
    assert engine.state() == "on"
    assert source.configured == [True, True]


def test_stop_leaves_tracing_off_and_the_ring_complete(
    writer: RingWriter, source: ScriptedSource
) -> None:
    """The stop of SIGTERM switches off and leaves every record in the ring."""
    engine = Engine(writer, source)
    engine.start()
    engine.switch(on=True)
    source.deliver(1, 5)
    engine.stop()
    assert not source.state.on
    assert times(writer) == [1, 2, 3, 4, 5]
    writer.close()
    with RingReader(writer.path) as reader:
        assert (reader.info().state, reader.info().switched_on) == ("stopped", False)
        assert lib.KVMLOG_RING_STOPPED == 2


def test_no_pump_runs_on_when_stopping_fails(
    writer: RingWriter, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write into the ring after that was unmapped."""

    def fail(config: SwitchConfig) -> None:
        raise OSError(errno.EIO, f"nothing reaches the source: {config.on}")

    engine = Engine(writer, source)
    engine.start()
    engine.switch(on=True)
    monkeypatch.setattr(source, "switch", fail)
    with pytest.raises(OSError, match="nothing reaches the source: False"):
        engine.stop()
    assert [thread.name for thread in threading.enumerate() if "pump" in thread.name] == []


def test_a_second_off_finds_nothing_missing(
    engine: Engine, source: ScriptedSource, writer: RingWriter
) -> None:
    """Counts that were compared with the source once are not compared again."""
    engine.switch(on=True)
    source.deliver(1, 3)
    engine.switch(on=False)
    engine.switch(on=False)
    engine.switch(on=True)
    source.deliver(4, 1)
    source.set(on=False)
    engine.tick()
    source.deliver(5, 1)
    engine.switch(on=False)
    assert times(writer) == [1, 2, 3, 4, 5]
    assert writer.header().lost_messages == 0
