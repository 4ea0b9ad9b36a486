# SPDX-License-Identifier: GPL-2.0-or-later
"""What collecting costs, and the interval that keeps it within a budget. Pure."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import replace
from typing import Final

from kvmlog.vmstats.snapshot import Cost

# So many rounds tell what one costs: the first ones read all definitions, which later ones do not.
_ROUNDS: Final = 5
_ROUNDS_LEAST: Final = 3
# At most an hour between two polls.
_INTERVAL_MOST_S: Final = 3_600.0
# Of an interval: what is shorter is a part of the same round.
_PART: Final = 0.5
# A change smaller than this is none.
_STEP: Final = 0.1


class Budget:
    """CPU time per round of polls, and the interval it allows. percent: of one CPU; 0: no limit."""

    def __init__(self, interval_s: float, percent: float) -> None:
        self.interval_s = interval_s
        self.stretched: str | None = None  # why, a sentence
        self._configured_s = interval_s
        self._percent = percent
        self._rounds: deque[float] = deque(maxlen=_ROUNDS)
        self._before: tuple[int, int, int | None] | None = None  # time, own and libvirtd's, ns
        self.cost = Cost(0, None, None, None, percent)

    def account(self, now_ns: int, own_ns: int, daemon_ns: int | None) -> None:
        """Take the CPU times so far, after polls that ended now.

        Those of one round may end at several times: they are accounted for together.
        """
        before = self._before
        if before is None:
            self._before = now_ns, own_ns, daemon_ns
            self.cost = replace(self.cost, own_cpu_ns=own_ns, libvirtd_cpu_ns=daemon_ns)
            return
        elapsed_ns = now_ns - before[0]
        if elapsed_ns < _PART * self.interval_s * 1e9:
            return
        self._before = now_ns, own_ns, daemon_ns
        own = own_ns - before[1]
        daemon = None if daemon_ns is None else max(0, daemon_ns - (before[2] or 0))
        self.cost = Cost(
            own_cpu_ns=own_ns,
            libvirtd_cpu_ns=daemon_ns,
            own_percent=100 * own / elapsed_ns,
            libvirtd_percent=None if daemon is None else 100 * daemon / elapsed_ns,
            budget_percent=self._percent,
        )
        self._rounds.append((own + (daemon or 0)) / 1e9)
        self._stretch()

    def _stretch(self) -> None:
        if not self._percent or len(self._rounds) < _ROUNDS_LEAST:
            return
        round_s = statistics.median(self._rounds)
        needed_s = min(_INTERVAL_MOST_S, 100 * round_s / self._percent)
        if needed_s <= self._configured_s:
            self.interval_s, self.stretched = self._configured_s, None
        elif abs(needed_s - self.interval_s) > _STEP * self.interval_s:
            self.interval_s = needed_s
        if self.interval_s > self._configured_s:
            self.stretched = (
                f"a poll takes {round_s:.2f} s of CPU, more than {self._percent:g} % of one CPU "
                f"every {self._configured_s:g} s: it is made every {self.interval_s:.1f} s; raise "
                "vmstats.budget_percent or vmstats.interval_s"
            )
