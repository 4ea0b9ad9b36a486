# SPDX-License-Identifier: GPL-2.0-or-later
"""Order within a lane, lanes beside each other, and what becomes of failures.

The target is scripted here; real ones: tests/system/notify, tests/soak.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from kvmlog.notify import delivery
from kvmlog.notify.delivery import ATTEMPTS, Delivery
from kvmlog.notify.message import Message, Priority
from kvmlog.notify.target import RefusedError, UnavailableError


def message(lane: str, number: int) -> Message:
    """One of a lane."""
    return Message(f"{lane}{number}", lane, "instance.update", Priority.INFO, 0, {})


class Scripted:
    """A target that fails as it is told, and keeps what it took."""

    name = "scripted"
    where = "scripted"

    def __init__(self, fails: Callable[[str, int], Exception | None]) -> None:
        self._fails = fails
        self.attempts: Counter[str] = Counter()
        self.taken: list[str] = []

    async def send(self, message: Message) -> None:
        """Fail, or take it."""
        await asyncio.sleep(0)
        self.attempts[message.id] += 1
        error = self._fails(message.id, self.attempts[message.id])
        if error is not None:
            raise error
        self.taken.append(message.id)

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other."""
    monkeypatch.setattr(delivery, "FIRST_S", 0.001)
    monkeypatch.setattr(delivery, "LONGEST_S", 0.002)


def delivered(target: Scripted, messages: Iterable[Message]) -> tuple[Delivery, list[str]]:
    """Deliver all; return the delivery, and what was done with, in its order."""
    done: list[str] = []

    async def run() -> Delivery:
        made = Delivery(target)
        wanted = list(messages)
        for one in wanted:
            made.add(one, functools.partial(done.append, one.id))
        while len(done) < len(wanted):
            await asyncio.sleep(0.001)
        await made.close()
        return made

    return asyncio.run(run()), done


def of_lane(ids: list[str], lane: str) -> list[str]:
    """Those of a lane."""
    return [one for one in ids if one.startswith(lane)]


def test_each_lane_keeps_its_order_while_the_target_comes_and_goes() -> None:
    """Every third attempt fails, of whichever message."""
    attempts = 0

    def fails(_: str, __: int) -> Exception | None:
        nonlocal attempts
        attempts += 1
        return UnavailableError("away") if attempts % 3 == 0 else None

    target = Scripted(fails)
    messages = [message(lane, number) for number in range(10, 40) for lane in "abc"]
    made, done = delivered(target, messages)
    for lane in "abc":
        expected = [one.id for one in messages if one.lane == lane]
        assert of_lane(target.taken, lane) == of_lane(done, lane) == expected
    assert (made.delivered, made.dropped, made.trouble) == (90, 0, None)


def test_what_is_refused_is_dropped_and_the_next_one_sent() -> None:
    """It is tried once."""
    target = Scripted(lambda one, _: RefusedError("no") if one == "a11" else None)
    made, done = delivered(target, [message("a", number) for number in (10, 11, 12)])
    assert target.taken == ["a10", "a12"]
    assert done == ["a10", "a11", "a12"]
    assert (target.attempts["a11"], made.dropped) == (1, 1)


def test_one_that_never_gets_through_while_others_do_is_dropped() -> None:
    """Its lane goes on then; nothing is dropped for a target that takes nothing."""
    target = Scripted(lambda one, _: UnavailableError("500") if one == "a10" else None)
    others = [message("b", number) for number in range(10, 99)]
    made, _ = delivered(target, [message("a", 10), message("a", 11), *others])
    assert of_lane(target.taken, "a") == ["a11"]
    assert (made.dropped, target.attempts["a10"]) == (1, ATTEMPTS + 1)


def test_a_target_that_takes_nothing_loses_nothing() -> None:
    """However often it was tried."""
    target = Scripted(lambda _, attempt: UnavailableError("away") if attempt < 40 else None)
    made, done = delivered(target, [message("a", 10), message("a", 11)])
    assert done == ["a10", "a11"]
    assert made.dropped == 0
