# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracing of chosen guests and for a time: what the engine asks of the source, through all that
happens to guests and source meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.engine import request
from kvmlog.engine.engine import Engine
from kvmlog.engine.request import NOBODY
from kvmlog.guests.model import GuestError
from kvmlog.guests.registry import GuestRegistry
from kvmlog.native import lib
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import SwitchConfig
from kvmlog.util.errors import SourceError, SwitchError
from tests.support import records as make
from tests.support.proc_tree import FakeProc
from tests.support.scripted_source import ScriptedSource

WEEK_MS = lib.KVMLOG_MAX_LEASE_MS


class Clock:
    """CLOCK_MONOTONIC as the wanted time sees it, which goes when the test says so."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000_000

    def monotonic_ns(self) -> int:
        """Return the time of this clock, as time.monotonic_ns() does."""
        return self.ns

    def pass_s(self, seconds: float) -> None:
        """So much time passes."""
        self.ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock that the test moves in place of the real one."""
    fake = Clock()
    monkeypatch.setattr(request, "time", fake)
    return fake


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    """A host with three guests, two of one name."""
    processes = FakeProc(tmp_path / "proc")
    begin(processes, 100, "web1")
    begin(processes, 200, "web2")
    begin(processes, 300, "web2")
    return processes


@pytest.fixture
def source() -> ScriptedSource:
    """Loaded."""
    return ScriptedSource()


@pytest.fixture
def engine(tmp_path: Path, source: ScriptedSource, proc: FakeProc) -> Iterator[Engine]:
    """Started, with a registry of that host's guests."""
    with RingWriter(str(tmp_path / "ring"), 1024) as writer:
        registry = GuestRegistry(str(tmp_path / "ring.guests"), root=proc.root)
        log_engine = Engine(writer, source, registry)
        log_engine.start()
        yield log_engine
        log_engine.stop()


def begin(proc: FakeProc, pid: int, name: str, start_ticks: int = 5_000) -> None:
    """A QEMU process of that name."""
    proc.begin(pid, start_ticks, [b"qemu-system-x86_64", b"-name", f"guest={name}".encode()])


def look_around(engine: Engine) -> None:
    """Look for guests as the bridge does once a second and when it hears of a new one."""
    engine.registry.scan()
    engine.registry.refresh()
    engine.match()


def last(source: ScriptedSource) -> tuple[bool, tuple[int, ...], int]:
    """on, tgids, lease_ms of what the source was asked last."""
    config = source.configs[-1]
    return config.on, config.tgids, config.lease_ms


def test_chosen_guests_are_processes_to_the_source(engine: Engine, source: ScriptedSource) -> None:
    """A name chooses all processes that share it, a pid one; a repeated word counts once."""
    assert engine.switch(True, ["web2", "100", "web2"]) == {"web2": [200, 300], "100": [100]}
    assert source.configs == [SwitchConfig(on=True, tgids=(200, 300, 100))]
    assert engine.describe()["filter"] == {"vm": ["web2", "100"], "tgids": 3}


def test_each_on_replaces_guests_and_time(
    engine: Engine, source: ScriptedSource, clock: Clock
) -> None:
    """Also a plain one; and where nothing changes nothing is asked of the source."""
    engine.switch(True, ["web1"], 60)
    engine.switch(True, ["web2"])
    engine.switch(True, for_s=1.5)
    engine.switch(True)
    engine.switch(True)
    assert source.configs == [
        SwitchConfig(on=True, tgids=(100,), lease_ms=60_000),
        SwitchConfig(on=True, tgids=(200, 300)),
        SwitchConfig(on=True, lease_ms=1_500),
        SwitchConfig(on=True),
    ]
    clock.pass_s(3_600)
    engine.tick()
    assert (engine.state(), source.state.on) == ("on", True)


def test_off_ends_both(engine: Engine, source: ScriptedSource) -> None:
    """A later `on` without options has neither filter nor lease."""
    engine.switch(True, ["web1"], 60)
    engine.switch(False)
    look_around(engine)
    engine.tick()
    assert (engine.state(), source.state.on) == ("off", False)
    engine.switch(True)
    assert last(source) == (True, (), 0)


def test_an_unknown_guest_changes_nothing(engine: Engine, source: ScriptedSource) -> None:
    """Neither when off nor when on."""
    with pytest.raises(GuestError, match=r"web1 .pid 100., web2 .pid 200., web2 .pid 300."):
        engine.switch(True, ["web1", "web3"])
    assert (engine.state(), source.configs) == ("off", [])
    engine.switch(True, ["web1"], 60)
    with pytest.raises(GuestError, match="'web3'"):
        engine.switch(True, ["web3"])
    assert (engine.state(), len(source.configs)) == ("on", 1)
    assert engine.describe()["filter"] == {"vm": ["web1"], "tgids": 1}


def test_a_refused_change_changes_nothing(
    engine: Engine, source: ScriptedSource, clock: Clock
) -> None:
    """The source goes on with what it had, and so does the engine."""
    engine.switch(True, ["web1"], 60)
    source.refusal = "no memory"
    with pytest.raises(SourceError, match="no memory"):
        engine.switch(True)
    source.refusal = None
    clock.pass_s(10)
    source.reload()
    engine.tick()
    engine.tick()
    assert last(source) == (True, (100,), 50_000)


def test_too_many_guests_are_refused(
    engine: Engine, source: ScriptedSource, proc: FakeProc
) -> None:
    """More than a source can hold."""
    for pid in range(1_000, 1_000 + lib.KVMLOG_MAX_TGIDS + 1):
        begin(proc, pid, "swarm")
    with pytest.raises(SwitchError, match="257 processes match; at most 256 can be chosen"):
        engine.switch(True, ["swarm"])
    proc.end(1_000)
    assert len(engine.switch(True, ["swarm"])["swarm"]) == 256
    # Later ones beyond it find no place; those that were there keep theirs.
    before = set(source.configs[-1].tgids)
    begin(proc, 5_000, "swarm")
    look_around(engine)
    assert set(source.configs[-1].tgids) == before


def test_later_guests_are_picked_up_and_ended_ones_leave(
    engine: Engine, source: ScriptedSource, proc: FakeProc, clock: Clock
) -> None:
    """The filter stays the same, and the lease keeps what is left of it."""
    engine.switch(True, ["web1"], 60)
    begin(proc, 400, "web1")
    begin(proc, 500, "other")
    clock.pass_s(20)
    look_around(engine)
    assert last(source) == (True, (100, 400), 40_000)
    look_around(engine)
    assert len(source.configs) == 2
    proc.end(100)
    clock.pass_s(1)
    look_around(engine)
    assert last(source) == (True, (400,), 39_000)


def test_when_all_have_ended_nobody_is_traced(
    engine: Engine, source: ScriptedSource, proc: FakeProc
) -> None:
    """The filter is never empty, because that would trace every process."""
    engine.switch(True, ["web1"])
    proc.end(100)
    look_around(engine)
    assert last(source) == (True, (NOBODY,), 0)
    assert int(Path("/proc/sys/kernel/pid_max").read_text()) < NOBODY
    assert engine.describe()["filter"] == {"vm": ["web1"], "tgids": 0}
    source.reload()
    engine.tick()
    engine.tick()
    assert last(source) == (True, (NOBODY,), 0)
    begin(proc, 600, "web1")
    look_around(engine)
    assert last(source) == (True, (600,), 0)


def test_a_reused_pid_is_another_guest(
    engine: Engine, source: ScriptedSource, proc: FakeProc
) -> None:
    """A pid chooses a process, a name whoever has it; a guest called as a pid is chosen by name."""
    engine.switch(True, ["100"])
    proc.end(100)
    begin(proc, 100, "web9", start_ticks=9_000)
    look_around(engine)
    assert last(source) == (True, (NOBODY,), 0)
    begin(proc, 700, "100")
    look_around(engine)
    assert last(source) == (True, (700,), 0)
    engine.switch(True, ["web9"])
    assert last(source) == (True, (100,), 0)


def test_a_guest_without_a_name_is_chosen_by_its_process(
    engine: Engine, source: ScriptedSource, proc: FakeProc
) -> None:
    """The name of the process (comm) chooses a guest only when it has no name of its own."""
    proc.begin(800, 7_000, [b"/usr/bin/my-vmm"], comm=b"my-vmm")
    assert engine.switch(True, ["my-vmm"]) == {"my-vmm": [800]}
    with pytest.raises(GuestError, match="'qemu-system-x86'"):
        engine.switch(True, ["qemu-system-x86"])


@pytest.mark.parametrize("gone", ["reloaded", "absent"])
def test_filter_and_lease_outlive_the_source(
    engine: Engine, source: ScriptedSource, proc: FakeProc, clock: Clock, gone: str
) -> None:
    """It comes back to those guests that match then, and to what is left of the time."""
    engine.switch(True, ["web2"], 100)
    source.reload()
    source.present = gone == "reloaded"
    engine.tick()
    assert (engine.state(), source.state.on) == ("waiting", False)
    assert engine.describe()["wanted"] == "on"
    proc.end(200)
    clock.pass_s(30)
    source.present = True
    look_around(engine)
    engine.tick()
    assert (engine.state(), last(source)) == ("on", (True, (300,), 70_000))


def test_a_lease_that_ended_while_the_source_was_away_is_over(
    engine: Engine, source: ScriptedSource, clock: Clock
) -> None:
    """Nothing is switched on again, neither then nor later."""
    engine.switch(True, ["web1"], 10)
    source.present = False
    engine.tick()
    clock.pass_s(11)
    engine.tick()
    assert engine.state() == "off"
    source.reload()
    source.present = True
    engine.tick()
    look_around(engine)
    assert (engine.state(), source.state.on, len(source.configs)) == ("off", False, 1)


def test_the_lease_ends_in_the_source(engine: Engine, source: ScriptedSource, clock: Clock) -> None:
    """A tick of its clock early or late: what was wanted is over."""
    for late_s in (-0.01, 0.3):
        engine.switch(True, ["web1"], 5)
        clock.pass_s(5 + late_s)
        source.end_lease()
        engine.tick()
        engine.tick()
        assert (engine.state(), engine.describe()["wanted"]) == ("off", "off")
        assert engine.describe()["filter"] is None
    assert source.configured == [True, True]


def test_a_source_that_loses_the_lease_is_switched_off(
    engine: Engine, source: ScriptedSource, clock: Clock
) -> None:
    """Somebody else withdrew it: a while after its end the engine ends it."""
    engine.switch(True, for_s=5)
    source.set(lease_ms=0)
    clock.pass_s(5.5)
    engine.tick()
    assert engine.state() == "on"
    clock.pass_s(1)
    engine.tick()
    assert (engine.state(), source.state.on, last(source)[0]) == ("off", False, False)


def test_switched_off_by_others_it_goes_on_for_the_rest(
    engine: Engine, source: ScriptedSource, clock: Clock
) -> None:
    """Only the end of the time ends it."""
    engine.switch(True, ["web1"], 60)
    clock.pass_s(10)
    source.set(on=False, attached=False, tgids=(), lease_ms=0)
    engine.tick()
    assert (engine.state(), last(source)) == ("on", (True, (100,), 50_000))


def test_a_guest_that_comes_after_the_end_switches_nothing_on(
    engine: Engine, source: ScriptedSource, proc: FakeProc, clock: Clock
) -> None:
    """The engine has not heard of the end yet; nor, switched off by others, of that."""
    engine.switch(True, ["web1"], 5)
    source.end_lease()
    begin(proc, 400, "web1")
    clock.pass_s(5)
    look_around(engine)
    assert (engine.state(), source.state.on, len(source.configs)) == ("off", False, 1)

    engine.switch(True, ["web1"], 5)
    source.set(on=False, attached=False, tgids=(), lease_ms=0)
    begin(proc, 500, "web1")
    look_around(engine)
    assert (engine.state(), len(source.configs)) == ("waiting", 2)
    engine.tick()
    assert last(source) == (True, (100, 400, 500), 5_000)


def test_kvm_loaded_anew_withdraws_nothing(
    engine: Engine, source: ScriptedSource, clock: Clock
) -> None:
    """Its prototypes are checked with the configuration that holds."""
    engine.switch(True, ["web1"], 60)
    clock.pass_s(15)
    source.set(vendor="kvm_intel")
    engine.tick()
    assert last(source) == (True, (100,), 45_000)
    assert len(source.configs) == 2


def test_a_time_too_long_for_one_lease_is_renewed(
    engine: Engine, source: ScriptedSource, clock: Clock
) -> None:
    """A source takes a week at most."""
    ten_days_s = 864_000
    engine.switch(True, for_s=ten_days_s)
    assert last(source) == (True, (), WEEK_MS)
    source.set(lease_ms=WEEK_MS // 2 + 1)
    engine.tick()
    assert len(source.configs) == 1
    clock.pass_s(3.5 * 86_400)
    source.set(lease_ms=WEEK_MS // 2 - 1)
    engine.tick()
    assert last(source) == (True, (), round(6.5 * 86_400_000))
    engine.tick()
    assert len(source.configs) == 2


def test_announced_guests_are_in_the_book(engine: Engine) -> None:
    """Whole GUEST records; what else comes with them is no guest."""
    start_ns = 5_000 * 10_000_000
    engine.announce(
        make.guest_bytes(b"qemu", tgid=100, guest=3, ns=7, start_boottime_ns=start_ns)
        + make.loss_bytes(lost=1)
        + make.guest_bytes(b"gone", tgid=999, guest=4, ns=8, start_boottime_ns=1)
    )
    named = {guest.name: guest.numbers for guest in engine.registry.guests()}
    assert named == {"web1": ((3, 7),), "gone:999": ((4, 8),)}
