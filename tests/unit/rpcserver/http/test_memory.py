# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of replies: never more than there is, and nobody waits for what another caller holds."""

from __future__ import annotations

import random
import threading

import pytest

from kvmlog.rpcserver.http.memory import ReplyMemory
from kvmlog.rpcserver.http.turns import OverShareError
from tests.support.bridge_process import HANG_S, until


def test_a_caller_may_have_a_part() -> None:
    """The rest is for others; what was returned may be taken again."""
    memory = ReplyMemory(100, 50)
    assert memory.take("greedy", 30)
    assert not memory.take("greedy", 30)
    assert memory.take("other", 50)
    memory.give_back("greedy", 30)
    assert memory.take("greedy", 50)
    assert not memory.take("third", 1)
    assert memory.held_bytes == 100


def test_a_reply_that_is_larger_than_all_is_made_alone() -> None:
    """Otherwise it could never be made."""
    memory = ReplyMemory(100, 50)
    assert memory.take("one", 1000)
    assert not memory.take("two", 1)
    memory.give_back("one", 1000)
    assert memory.take("two", 1)
    assert not memory.take("one", 1000)


def test_who_waits_for_their_own_replies_delays_nobody() -> None:
    """But who waits for others' is not passed by."""
    memory = ReplyMemory(100, 50)
    assert memory.take("greedy", 50)
    own = threading.Thread(target=memory.wait, args=("greedy", 50, HANG_S))
    own.start()
    until(lambda: len(memory._waiting) == 1)
    memory.wait("other", 40, 0.0)
    large = threading.Thread(target=memory.wait, args=("large", 20, HANG_S))
    large.start()
    until(lambda: len(memory._waiting) == 2)
    with pytest.raises(OverShareError):
        memory.wait("small", 5, 0.0)
    memory.give_back("other", 40)
    large.join(HANG_S)
    memory.give_back("greedy", 50)
    own.join(HANG_S)
    assert memory.held_bytes == 70


def test_there_is_never_more_than_all() -> None:
    """Sixteen threads of four callers, at random; in the end all of it is there again."""
    memory = ReplyMemory(1_000, 600)
    most: list[int] = []

    def use(seed: int) -> None:
        chance = random.Random(seed)
        caller = str(seed % 4)
        for _ in range(300):
            size = chance.randrange(1, 500)
            memory.wait(caller, size, HANG_S)
            most.append(memory.held_bytes)
            memory.give_back(caller, size)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert len(most) == 16 * 300
    assert max(most) <= 1_000
    assert memory.held_bytes == 0
