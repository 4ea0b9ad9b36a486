# SPDX-License-Identifier: GPL-2.0-or-later
"""The budget: what collecting costs, and how rare it makes the polls."""

from __future__ import annotations

import pytest

from kvmlog.vmstats.cost import Budget

S = 1_000_000_000


def polls(budget: Budget, count: int, own_s: float, daemon_s: float | None, at: int = 0) -> int:
    """Account for polls that cost that much each; return the time afterwards, ns."""
    now, own, daemon = at, 0, 0
    for _ in range(count):
        budget.account(now, own, None if daemon_s is None else daemon)
        now += round(budget.interval_s * S)
        own += round(own_s * S)
        daemon += round((daemon_s or 0) * S)
    return now


def test_within_the_budget_nothing_changes() -> None:
    """Both parts are told in percent of one CPU."""
    budget = Budget(10, 5)
    polls(budget, 10, 0.1, 0.2)
    assert (budget.interval_s, budget.stretched) == (10, None)
    assert budget.cost.own_percent == pytest.approx(1)
    assert budget.cost.libvirtd_percent == pytest.approx(2)
    assert budget.cost.budget_percent == 5


def test_above_it_polls_become_rarer() -> None:
    """As rare as it takes: 1 s of CPU per poll at 5 % is a poll every 20 s; the words say so."""
    budget = Budget(10, 5)
    polls(budget, 10, 0.4, 0.6)
    assert budget.interval_s == pytest.approx(20)
    assert budget.stretched is not None
    assert "1.00 s of CPU" in budget.stretched
    assert "every 20.0 s" in budget.stretched
    assert (budget.cost.own_percent or 0) + (budget.cost.libvirtd_percent or 0) == pytest.approx(5)


def test_it_comes_back() -> None:
    """Once polls cost less, they are as frequent as configured, and nothing is said."""
    budget = Budget(10, 5)
    polls(budget, 10, 1, 0)
    assert budget.interval_s == pytest.approx(20)
    budget._before = None
    polls(budget, 10, 0.01, 0)
    assert (budget.interval_s, budget.stretched) == (10, None)


def test_no_limit() -> None:
    """0: polls as configured, whatever they cost."""
    budget = Budget(1, 0)
    polls(budget, 10, 5, 5)
    assert (budget.interval_s, budget.stretched) == (1, None)


def test_an_unknown_daemon_is_not_zero() -> None:
    """A remote one costs us nothing that we know of."""
    budget = Budget(10, 5)
    polls(budget, 5, 0.1, None)
    assert budget.cost.libvirtd_percent is None
    assert budget.cost.libvirtd_cpu_ns is None


def test_polls_of_one_round_are_one() -> None:
    """Two connections that report one after the other, of which the second was late."""
    budget = Budget(10, 5)
    now, own = 0, 0
    for _ in range(8):
        budget.account(now, own, None)
        budget.account(now + S, own + S // 10, None)
        now += 10 * S
        own += S // 5
    assert budget.cost.own_percent == pytest.approx(2)
    assert budget.interval_s == 10


def test_there_is_a_longest_interval() -> None:
    """An hour, however much a poll costs."""
    budget = Budget(10, 0.001)
    polls(budget, 10, 5, 0)
    assert budget.interval_s == 3_600
