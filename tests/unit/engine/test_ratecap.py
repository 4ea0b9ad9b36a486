# SPDX-License-Identifier: GPL-2.0-or-later
"""The cap on exits recorded a second, alone and in the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlog.control.sampling import MOST_ONE_IN, Sampling
from kvmlog.engine.engine import Engine
from kvmlog.engine.ratecap import RateCap
from kvmlog.ring.writer import RingWriter
from tests.support.scripted_source import ScriptedSource

SECOND = 1_000_000_000


class Looks:
    """A cap that is shown a source's counters, a second apart."""

    def __init__(self, sampling: Sampling) -> None:
        self.cap = RateCap(sampling)
        self.emitted = self.ns = 0
        self.cap.adjust({"emitted": 0}, 0)

    def after(self, *rates: int) -> list[int]:
        """one_in after each second in which so many exits were recorded."""
        found = []
        for rate in rates:
            self.emitted += rate
            self.ns += SECOND
            self.cap.adjust({"emitted": self.emitted}, self.ns)
            found.append(self.cap.one_in)
        return found


@pytest.mark.parametrize(
    ("rate", "one_in"), [(0, 1), (1_000, 1), (1_001, 2), (4_000, 4), (4_001, 8), (10**9, 1_000_000)]
)
def test_as_many_doublings_as_needed_at_once(rate: int, one_in: int) -> None:
    """Up to the most that a source takes."""
    assert Looks(Sampling(max_per_s=1_000)).after(rate) == [one_in]
    assert one_in <= MOST_ONE_IN


def test_lowered_after_three_calm_looks_and_not_below_what_was_asked() -> None:
    """The look after a change only begins anew."""
    looks = Looks(Sampling(one_in=3, max_per_s=1_000))
    assert looks.after(4_000) == [12]
    assert looks.after(900, 400, 400, 400) == [12, 12, 12, 6]
    assert looks.after(0, 0, 0, 0) == [6, 6, 6, 3]
    assert looks.after(0, 0, 0, 0, 0) == [3] * 5


def test_no_swinging_where_the_double_would_be_too_much() -> None:
    """Half the cap is not calm: lowered, it would be raised again at once."""
    looks = Looks(Sampling(max_per_s=1_000))
    looks.after(1_500)
    assert looks.after(*[500] * 20) == [2] * 20


def test_exits_that_were_dropped_count() -> None:
    """A ring too slow for a storm is no reason to let more of it through."""
    cap = RateCap(Sampling(max_per_s=10))
    cap.adjust({"emitted": 0, "dropped": 0}, 0)
    assert cap.adjust({"emitted": 5, "dropped": 75}, SECOND)
    assert cap.one_in == 8


def test_without_a_cap_nothing_changes() -> None:
    """Whatever comes."""
    assert Looks(Sampling(one_in=7)).after(10**9, 0, 0, 0, 0, 0) == [7] * 6


def test_a_source_that_begins_again_is_no_rate() -> None:
    """Counters that fell, and those after a pause."""
    cap = RateCap(Sampling(max_per_s=1))
    cap.adjust({"emitted": 500}, 0)
    assert not cap.adjust({"emitted": 100}, SECOND)
    cap.pause()
    assert not cap.adjust({"emitted": 10_000}, 2 * SECOND)


def test_the_engine_configures_the_source_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows and the rest stay as they were asked for."""
    now = 0
    monkeypatch.setattr("kvmlog.engine.engine.time.monotonic_ns", lambda: now)
    source = ScriptedSource()
    with RingWriter(str(tmp_path / "ring"), 1024) as writer:
        engine = Engine(writer, source)
        engine.start()
        engine.switch(on=True, sampling=Sampling(1, 5, 95, 100))
        engine.tick()
        source.deliver(1, 300)
        now += SECOND
        engine.tick()
        assert [(c.one_in, c.on_ms, c.off_ms) for c in source.configs] == [(1, 5, 95), (4, 5, 95)]
        assert engine.describe()["sampling"] == {
            "one_in": 1,
            "on_ms": 5,
            "off_ms": 95,
            "max_per_s": 100,
            "one_in_now": 4,
        }
        engine.switch(on=True)
        assert (source.state.one_in, source.state.on_ms) == (1, 0)
        assert engine.describe()["sampling"] is None
        engine.stop()
