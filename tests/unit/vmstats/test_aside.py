# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that may block for ever, aside."""

from __future__ import annotations

import threading

from kvmlog.vmstats.aside import Aside
from tests.support.bridge_process import HANG_S, until


def test_what_is_quick_is_there() -> None:
    """Each call has a result of its own."""
    numbers = iter(range(10))
    aside = Aside(lambda: next(numbers))
    assert [aside.get(HANG_S), aside.get(HANG_S)] == [0, 1]


def test_what_blocks_blocks_nobody() -> None:
    """Nothing is told until it returns, and there is one thread however often it is asked."""
    release = threading.Event()
    begun: list[int] = []

    def block() -> str:
        begun.append(1)
        release.wait(HANG_S)
        return "there"

    aside = Aside(block)
    assert [aside.get(0.01) for _ in range(5)] == [None] * 5
    assert len(begun) == 1
    release.set()
    until(lambda: aside.last == "there")
    assert aside.get(HANG_S) == "there"
