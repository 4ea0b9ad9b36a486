# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers of the bridge that calls share: how often it is asked, and what a failure does."""

from __future__ import annotations

import sys
import threading

import pytest

from kvmlog.rpcserver.methods import bridge
from kvmlog.rpcserver.methods.bridge import SharedAnswer
from kvmlog.util.errors import SwitchError
from tests.support.bridge_process import HANG_S, until
from tests.support.rpc_calls import call_of


class Asked:
    """A bridge that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.failing = False
        self.answering = threading.Event()
        self.answering.set()

    def __call__(self, path: str) -> int:
        """Return how often it has been asked."""
        assert path == "ring.switch"
        self.asked += 1
        assert self.answering.wait(HANG_S)
        if self.failing:
            raise SwitchError("no bridge")
        return self.asked


CALL = call_of("ring")


def test_an_answer_is_shared_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then, and when it is known not to hold, it is asked for again."""
    asked = Asked()
    answer = SharedAnswer(asked)
    monkeypatch.setattr(bridge, "FRESH_S", 3600.0)
    assert [answer.get(CALL), answer.get(CALL)] == [1, 1]
    answer.forget("ring.switch")
    assert answer.get(CALL) == 2
    monkeypatch.setattr(bridge, "FRESH_S", 0.0)
    assert answer.get(CALL) == 3


def test_a_failure_is_not_kept() -> None:
    """The next call asks."""
    asked = Asked()
    answer = SharedAnswer(asked)
    asked.failing = True
    for _ in range(2):
        with pytest.raises(SwitchError):
            answer.get(CALL)
    asked.failing = False
    assert answer.get(CALL) == 3


@pytest.mark.parametrize("failing", [False, True])
def test_calls_that_come_meanwhile_wait_for_the_same_answer(failing: bool) -> None:
    """A bridge that hangs keeps all of them no longer than one."""
    asked = Asked()
    asked.failing = failing
    asked.answering.clear()
    answer = SharedAnswer(asked)
    found: list[object] = []

    def ask() -> None:
        try:
            found.append(answer.get(call_of("ring")))
        except SwitchError as error:
            found.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    threads[0].start()
    until(lambda: asked.asked == 1)
    for thread in threads[1:]:
        thread.start()
    until(lambda: sum(map(_waits, threads)) == 8)
    asked.answering.set()
    for thread in threads:
        thread.join(HANG_S)
    assert found == ["no bridge" if failing else 1] * 8
    assert asked.asked == 1


def _waits(thread: threading.Thread) -> bool:
    """Return whether a thread waits for the answer, asking or not."""
    frame = sys._current_frames().get(thread.ident or 0)
    names = set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return "wait" in names and bool(names & {"result", "__call__"})
