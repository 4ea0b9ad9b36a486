# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost of the BPF programs, from the kernel's own statistics of their run time.

The kernel counts it only while asked to (BPF_ENABLE_STATS), for all programs of the host, and that
costs two readings of the clock a run: so it is asked for short windows. What an exit costs in them
is taken for all exits: in the middle one of a window's parts, and of the newest windows, since in
any of them a hypervisor below may have taken the CPU away.
"""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Callable, Sequence
from typing import Final

from kvmlog.native import ffi, lib

WINDOW_S: Final = 0.1
PARTS: Final = 10  # of a window
PERIOD_S: Final = 10.0
WINDOWS: Final = 5  # of which the middle one counts


class CostMeter:
    """A thread between start() and stop(). seen: how many exits programs have seen so far.

    It is asked for in the thread.
    """

    def __init__(self, seen: Callable[[], int]) -> None:
        self.trouble: str | None = None  # why nothing is measured
        self._programs: Sequence[int] = ()
        self._seen = seen
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        # What an exit cost in the newest windows, in ns. Both threads have it: replaced as a whole.
        self._windows: tuple[float, ...] = ()
        self._total_ns = 0.0
        self._counted = 0

    def start(self, programs: Sequence[int]) -> None:
        """Begin the first window. programs: descriptors, the caller's, open until stop()."""
        self._programs = programs
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name="kvmlog-cost", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End a window that is open, which still counts; a second call does nothing."""
        if self._thread is None:
            return
        self._end.set()
        self._thread.join()
        self._thread = None

    def total_ns(self, seen: int) -> int:
        """Return the CPU time of the programs for so many exits, all that were seen.

        0 until the first window has ended, which then tells for the exits before too.
        """
        windows = self._windows
        if windows:
            self._total_ns += (seen - self._counted) * statistics.median_low(windows)
            self._counted = seen
        return round(self._total_ns)

    def _run(self) -> None:
        while True:
            self._measure()
            if self._end.wait(PERIOD_S - WINDOW_S):
                return

    def _measure(self) -> None:
        enabled = lib.kvmlog_bpf_enable_stats()
        if enabled < 0:
            self.trouble = (
                f"the kernel gives no run times of BPF programs ({os.strerror(-enabled)}): "
                "their cost is not known, and no part of the budget"
            )
            return
        try:
            parts = [cost for _ in range(PARTS) if (cost := self._part()) is not None]
        finally:
            os.close(enabled)
        if parts:
            self._windows = (*self._windows, statistics.median_low(parts))[-WINDOWS:]

    def _part(self) -> float | None:
        """Return what an exit costs in a part of a window, in ns; None without exits."""
        before_ns, before = self._run_ns(), self._seen()
        self._end.wait(WINDOW_S / PARTS)
        ns, exits = self._run_ns() - before_ns, self._seen() - before
        return ns / exits if exits > 0 else None

    def _run_ns(self) -> int:
        total = 0
        for program in self._programs:
            ns = ffi.new("__u64 *")
            lib.kvmlog_bpf_run_time(program, ns)
            total += int(ns[0])
        return total
