# SPDX-License-Identifier: GPL-2.0-or-later
"""Cost lines of `kvmlog status`, from the bridge's own answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvmlog.cli.status import cost_lines, show
from kvmlog.engine.budget import Budget, Cost
from kvmlog.ring.reader import RingReader
from kvmlog.ring.writer import RingWriter
from kvmlog.util.units import iso_time

SECOND = 1_000_000_000


def budget(limit_percent: float) -> tuple[Budget, list[int]]:
    """Return a budget of two CPUs with tracing on, and the clock that the test moves."""
    now = [SECOND]
    watched = Budget(limit_percent, cpus=lambda: 2, clock=lambda: now[0])
    watched.begin(Cost())
    now[0] += SECOND
    return watched, now


def test_cost_in_words() -> None:
    """The words give the cost in one CPU by parts, of an exit, and of the host with the limit."""
    watched, _ = budget(2)
    watched.add(Cost(5_000_000, 2_000_000, 1_000_000, 10_000))
    assert list(cost_lines(watched.describe())) == [
        ("cost", "0.8 % of one CPU (probes 0.5, worker 0.2, engine 0.1); 800 ns an exit"),
        ("", "0.4 % of all 2 CPUs (limit 2 %)"),
    ]


def test_cost_without_exits_and_limit() -> None:
    """No time an exit, and no limit."""
    watched, _ = budget(0)
    watched.add(Cost(0, 0, 1_000_000, 0))
    assert list(cost_lines(watched.describe())) == [
        ("cost", "0.1 % of one CPU (probes 0, worker 0, engine 0.1)"),
        ("", "0.05 % of all 2 CPUs (no limit)"),
    ]


def test_few_exits_say_nothing_of_one() -> None:
    """The engine's own time is not charged to them."""
    watched, _ = budget(0)
    watched.add(Cost(5_000, 0, 3_000_000, 15))
    assert next(cost_lines(watched.describe())) == (
        "cost",
        "0.3 % of one CPU (probes 0.0005, worker 0, engine 0.3)",
    )


def test_nothing_while_off_but_why() -> None:
    """An older bridge tells nothing."""
    watched, now = budget(2)
    now[0] += 10 * SECOND
    watched.add(Cost(SECOND, 0, 0, 10))
    sentence = watched.stop()
    watched.end()
    assert list(cost_lines(watched.describe())) == [("", sentence)]
    assert list(cost_lines({})) == []


def test_json_has_times_of_day_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times are exact to the ns, where ns since 1970 as a number lose digits."""
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer, RingReader(writer.path) as reader:
        info = reader.info()
    assert show(None, "no bridge", info, None, as_json=True) == 1
    ring = json.loads(capsys.readouterr().out)["ring"]
    for name, ns in (("created", info.created_realtime_ns), ("heartbeat", info.realtime_ns)):
        assert ring[name] == iso_time(ns, info.utc_offset_s)
        assert ring[name][20:29] == f"{ns % 1_000_000_000:09d}"
    assert ring["created_realtime_ns"] == info.created_realtime_ns
