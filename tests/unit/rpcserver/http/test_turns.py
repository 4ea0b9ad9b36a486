# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns: who is next, by what each caller has used; no clock but the test's."""

from __future__ import annotations

import threading

import pytest

from kvmlog.rpcserver.http.turns import OverShareError, Turns
from tests.support.bridge_process import HANG_S, until


class Queue:
    """Turns with a clock that a test moves, and callers who wait in threads."""

    def __init__(self, at_once: int) -> None:
        self.used_s = 0.0
        self.turns = Turns(at_once, clock=lambda: self.used_s)
        self.served: list[str] = []
        self._threads: list[threading.Thread] = []

    def hold(self, caller: str) -> None:
        """Take a turn, which is free."""
        self.turns.take(caller, 0.0)

    def release(self, caller: str, used_s: float) -> None:
        """End the turn that a caller has held since the clock was at 0."""
        self.used_s = used_s
        try:
            self.turns.give_back(caller, 0.0)
        finally:
            self.used_s = 0.0

    def wait(self, caller: str) -> None:
        """Have one more thread of a caller wait; its turn takes 1 s of the clock."""

        def serve() -> None:
            since_s = self.turns.take(caller, HANG_S)
            self.served.append(caller)
            self.turns.give_back(caller, since_s - 1.0)

        before = self.waiting()
        self._threads.append(threading.Thread(target=serve))
        self._threads[-1].start()
        until(lambda: self.waiting() == before + 1)

    def waiting(self) -> int:
        """Return how many threads wait."""
        return sum(len(one.waiting) for one in list(self.turns._callers.values()))

    def join(self) -> list[str]:
        """Return who was served, in this order, once all have been."""
        for thread in self._threads:
            thread.join(HANG_S)
        return self.served


@pytest.fixture
def queue() -> Queue:
    """One turn at a time."""
    return Queue(1)


def test_who_has_used_least_is_next(queue: Queue) -> None:
    """However many of another caller's threads have waited for longer."""
    queue.hold("greedy")
    for caller in ("greedy", "greedy", "greedy", "other"):
        queue.wait(caller)
    queue.release("greedy", used_s=5.0)
    assert queue.join() == ["other", "greedy", "greedy", "greedy"]


def test_callers_alternate_when_their_calls_cost_the_same(queue: Queue) -> None:
    """Not all of one caller's first."""
    queue.hold("first")
    for caller in ("one", "one", "two", "two"):
        queue.wait(caller)
    queue.release("first", used_s=0.0)
    assert queue.join() == ["one", "two", "one", "two"]


def test_who_was_idle_gains_nothing_by_it(queue: Queue) -> None:
    """A caller who comes late begins where those are who are served: they alternate from there."""
    queue.hold("early")
    queue.wait("early")
    queue.wait("busy")
    queue.release("early", used_s=100.0)
    # "busy" has been served at 0, then "early" again at 100.
    assert queue.join() == ["busy", "early"]
    queue.hold("third")
    for caller in ("late", "late", "early"):
        queue.wait(caller)
    queue.release("third", used_s=0.0)
    assert queue.join()[2:] == ["late", "early", "late"]


def test_a_caller_computes_in_one_thread(queue: Queue) -> None:
    """Nobody gets two of four turns that are free."""
    four = Queue(4)
    four.hold("greedy")
    four.wait("greedy")
    four.hold("other")
    assert four.served == []
    four.release("greedy", used_s=1.0)
    assert four.join() == ["greedy"]


def test_who_waits_too_long_gives_up(queue: Queue) -> None:
    """Its place is nobody's any more: the next of the same caller is served."""
    queue.hold("one")
    with pytest.raises(OverShareError):
        queue.turns.take("one", 0.0)
    queue.wait("one")
    queue.release("one", used_s=0.0)
    assert queue.join() == ["one"]


def test_callers_who_have_gone_are_forgotten(queue: Queue) -> None:
    """Once nobody is served, nobody is remembered; and never more than some who are idle."""
    for number in range(10_000):
        queue.hold(str(number))
        queue.release(str(number), used_s=1.0)
    assert queue.turns._callers == {}
    two = Queue(2)
    two.hold("stays")
    for number in range(10_000):
        two.hold(str(number))
        two.release(str(number), used_s=float(number))
    assert len(two.turns._callers) <= 300
