# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of the bridge itself: part of the serving thread's, all of the others'."""

from __future__ import annotations

import threading

from kvmlog.engine.cpu_time import CpuTimeMeter
from tests.support.cpu_time import MS, spend


def test_of_its_own_thread_only_what_is_marked_counts() -> None:
    """Once, where marks lie within marks; also while one has not ended yet."""
    own = CpuTimeMeter()
    begin_ns = own.ns()
    spend(200 * MS)
    unmarked_ns = own.ns() - begin_ns
    with own:
        spend(100 * MS)
        with own:
            spend(100 * MS)
        within_ns = own.ns() - begin_ns
    marked_ns = own.ns() - begin_ns
    spend(200 * MS)
    assert unmarked_ns < 100 * MS
    assert 200 * MS <= within_ns <= marked_ns < 300 * MS
    assert own.ns() - begin_ns < 300 * MS


def test_an_error_ends_the_mark() -> None:
    """CPU time after the error is not counted."""
    own = CpuTimeMeter()
    begin_ns = own.ns()
    try:
        with own:
            raise ValueError("as a source may")
    except ValueError:
        spend(200 * MS)
    assert own.ns() - begin_ns < 100 * MS


def test_of_other_threads_everything_counts() -> None:
    """Those that have ended too: nothing that was charged is given back."""
    own = CpuTimeMeter()
    begin_ns = own.ns()
    for _ in range(2):
        thread = threading.Thread(target=spend, args=(100 * MS,))
        thread.start()
        thread.join()
    assert 200 * MS <= own.ns() - begin_ns < 300 * MS
