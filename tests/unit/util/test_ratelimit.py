# SPDX-License-Identifier: GPL-2.0-or-later
"""Rates per peer and limited log lines, by a clock that the test moves."""

from __future__ import annotations

import pytest

from kvmlog.util.ratelimit import LogLimiter, TimeAllowance, TimeShare, TokenBuckets


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_then_so_many_a_second() -> None:
    """The wait that is returned is exact: a request after it passes, one before it does not."""
    clock = Clock()
    buckets = TokenBuckets(2.0, 3.0, clock=clock)
    assert [buckets.wait_s("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.wait_s("a") == pytest.approx(0.5)
    clock.now_s += 0.5
    assert buckets.wait_s("a") == 0
    assert buckets.wait_s("a") == pytest.approx(0.5)


def test_peers_do_not_share() -> None:
    """A peer that has used up its own bucket takes nothing from another's."""
    buckets = TokenBuckets(1.0, 1.0, clock=Clock())
    assert (buckets.wait_s("a"), buckets.wait_s("a"), buckets.wait_s("b")) == (0, 1, 0)


def test_a_full_bucket_holds_no_more_than_the_burst() -> None:
    """A bucket holds no more than its burst, however long it was idle."""
    clock = Clock()
    buckets = TokenBuckets(10.0, 2.0, clock=clock)
    buckets.wait_s("a")
    clock.now_s += 1_000
    assert [buckets.wait_s("a") == 0 for _ in range(4)] == [True, True, False, False]


def test_many_peers_do_not_fill_memory() -> None:
    """Peers with full buckets are forgotten first, the others keep their level."""
    clock = Clock()
    buckets = TokenBuckets(1.0, 1.0, most=10, clock=clock)
    for peer in range(10):
        buckets.wait_s(peer)
        clock.now_s += 0.1
    assert buckets.wait_s(10) == 0
    assert len(buckets._levels) <= 10
    assert buckets.wait_s(9) > 0
    for peer in range(1_000):
        buckets.wait_s(-peer)
    assert len(buckets._levels) <= 10


def test_lines_left_out_are_counted() -> None:
    """The next line that is written has the count."""
    clock = Clock()
    lines: list[str] = []
    log = LogLimiter(lines.append, per_s=1.0, burst=2.0, clock=clock)
    for number in range(7):
        log(f"line {number}")
    assert lines == ["line 0", "line 1"]
    clock.now_s += 1
    log("later")
    assert lines[2:] == ["later (and 5 such lines left out before)"]
    clock.now_s += 1
    log("again")
    assert lines[3:] == ["again"]


def test_costly_work_takes_a_share_of_the_time() -> None:
    """A share of a tenth: 2 s of work, then 18 s of rest, however often it is requested."""
    clock = Clock()
    ran_at = []

    def work() -> None:
        ran_at.append(clock.now_s - 1_000.0)
        clock.now_s += 2.0

    share = TimeShare(work, 0.1, clock)
    ran = []
    for _ in range(45):
        ran.append(share())
        clock.now_s += 1.0
    assert ran_at == [0.0, 20.0, 40.0]
    assert ran.count(True) == len(ran_at)


class Strangers:
    """Request work of `each_s` all the time; return when it was begun, in seconds."""

    def __init__(self, allowance: TimeAllowance, clock: Clock, each_s: float) -> None:
        self._allowance = allowance
        self._clock = clock
        self._each_s = each_s

    def ask(self, for_s: float) -> int:
        """Request it every millisecond for so long; return how often it was done."""
        done = 0
        end_s = self._clock.now_s + for_s
        while self._clock.now_s < end_s:
            if self._allowance.is_left():
                done += 1
                with self._allowance:
                    self._clock.now_s += self._each_s
            self._clock.now_s += 0.001
        return done


@pytest.mark.parametrize("each_s", [0.001, 0.01, 0.5])
def test_an_allowance_is_a_burst_and_then_a_share_of_the_time(each_s: float) -> None:
    """The share holds however long one piece takes; idle time restores the burst and no more."""
    clock = Clock()
    strangers = Strangers(TimeAllowance(0.1, 1.0, clock), clock, each_s)
    for _ in range(2):
        assert strangers.ask(100) * each_s == pytest.approx(11, abs=each_s)
        clock.now_s += 1_000


def test_an_allowance_is_charged_for_what_fails() -> None:
    """Time of work that raises counts as well."""
    clock = Clock()
    allowance = TimeAllowance(0.1, 1.0, clock)

    def refuse() -> None:
        with allowance:
            clock.now_s += 1.5
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        refuse()
    assert not allowance.is_left()
    clock.now_s += 6
    assert allowance.is_left()
