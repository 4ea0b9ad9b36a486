# SPDX-License-Identifier: GPL-2.0-or-later
"""The budget's arithmetic: shares, what is too much, and what is only a spike."""

from __future__ import annotations

import pytest

from kvmlog.engine.budget import Budget, Cost

MS = 1_000_000
SECOND = 1_000 * MS


class Host:
    """Two CPUs, a clock that the test moves, and tracing on."""

    def __init__(self, limit_percent: float) -> None:
        self.now_ns = 77 * SECOND
        self.cost = Cost(5, 6, 7, 8)
        self.budget = Budget(limit_percent, cpus=lambda: 2, clock=lambda: self.now_ns)
        self.budget.begin(self.cost)

    def second(self, probe_ms: float, worker_ms: float = 0, engine_ms: float = 0) -> bool:
        """One second in which 1,000 exits took so long; whether the budget is over."""
        self.now_ns += SECOND
        self.cost = Cost(
            self.cost.probe_ns + round(probe_ms * MS),
            self.cost.worker_ns + round(worker_ms * MS),
            self.cost.engine_ns + round(engine_ms * MS),
            self.cost.exits + 1_000,
        )
        self.budget.add(self.cost)
        return self.budget.is_over()


def test_shares_of_one_cpu_and_of_all() -> None:
    """Each part, the sum, and what an exit takes."""
    host = Host(2)
    host.second(5, 2, 1)
    told = host.budget.describe()
    assert (told["probes_percent"], told["worker_percent"], told["engine_percent"]) == (
        0.5,
        0.2,
        0.1,
    )
    assert (told["one_cpu_percent"], told["percent"], told["cpus"]) == (0.8, 0.4, 2)
    assert (told["exit_ns"], told["span_s"], told["stopped"]) == (8_000.0, 1.0, None)


def test_since_it_is_on() -> None:
    """The sums, for whoever takes averages of their own."""
    host = Host(0)
    for _ in range(60):
        host.second(5, 2, 1)
    told = host.budget.describe()
    assert told["since_on"] == {
        "probe_ns": 300 * MS,
        "worker_ns": 120 * MS,
        "engine_ns": 60 * MS,
        "exits": 60_000,
    }
    assert told["span_s"] == 10.0


@pytest.mark.parametrize("part", ["probe_ms", "worker_ms", "engine_ms"])
def test_too_much_for_ten_seconds(part: str) -> None:
    """4.2 % of one CPU are 2.1 % of two, whoever takes them; not before the time is full."""
    host = Host(2)
    times = {"probe_ms": 0.0, part: 42.0}
    assert [host.second(**times) for _ in range(10)] == [False] * 9 + [True]


def test_just_below_is_not_too_much() -> None:
    """A load just below the limit may last."""
    host = Host(2)
    assert not any(host.second(39) for _ in range(60))


def test_a_spike_does_not_stop() -> None:
    """Not one, whose mean is above the limit: half a second of both CPUs."""
    host = Host(2)
    assert not any(host.second(10) for _ in range(20))
    assert not host.second(1_000)
    assert host.budget.describe()["percent"] > 2
    assert not any(host.second(10) for _ in range(20))


def test_many_spikes_do() -> None:
    """Spikes for most of the time, and on average, above the limit are too much."""
    host = Host(2)
    verdicts = [host.second(100 if second % 3 else 0) for second in range(20)]
    assert verdicts[:9] == [False] * 9
    assert any(verdicts)


def test_many_small_ones_below_on_average_do_not() -> None:
    """Most seconds a little above, the others far below."""
    host = Host(2)
    assert not any(host.second(44 if second % 3 else 0) for second in range(60))


def test_nothing_is_too_much_without_a_limit() -> None:
    """0 is no limit, not a limit of nothing; and one may come while tracing is on."""
    host = Host(0)
    assert not any(host.second(2_000) for _ in range(30))
    host.budget.limit_percent = 50
    assert host.second(2_000)


def test_off_is_nothing() -> None:
    """No share, and no look counts until tracing begins again, with a time of its own."""
    host = Host(2)
    for _ in range(20):
        host.second(100)
    host.budget.end()
    assert not host.second(100)
    told = host.budget.describe()
    assert (told["percent"], told["one_cpu_percent"], told["exit_ns"], told["span_s"]) == (
        0.0,
        0.0,
        None,
        0.0,
    )
    host.budget.begin(host.cost)
    assert not host.second(100)


def test_why_it_stopped_is_told_once_and_shown_until_the_next_beginning() -> None:
    """Value, limit and remedy."""
    host = Host(2)
    for _ in range(10):
        host.second(62)
    sentence = host.budget.stop()
    host.budget.end()
    assert "because it took 3.1 % of the CPUs' time (limit 2 %); raise budget.cpu_percent" in (
        sentence
    )
    assert host.budget.describe()["stopped"] == sentence
    assert (host.budget.report_stop(), host.budget.report_stop()) == (sentence, None)
    assert host.budget.describe()["stopped"] == sentence
    host.budget.begin(host.cost)
    assert host.budget.describe()["stopped"] is None
