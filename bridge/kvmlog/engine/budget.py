# SPDX-License-Identifier: GPL-2.0-or-later
"""The budget of tracing: its cost as a share of CPU time, and the limit on that.

Shown as a share of one CPU; limited as a share of all CPUs that are online, since that is what
guests lose: on 64 CPUs 2 % is more than one whole CPU, on one CPU 20 ms a second.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

# What is judged: so long a time, and of it more than half. A spike is no reason to stop.
SPAN_S: Final = 10.0

_NS_PER_S: Final = 1_000_000_000
# The samples come once a second, never quite.
_SPAN_NS: Final = round((SPAN_S - 0.5) * _NS_PER_S)


@dataclass(frozen=True)
class Cost:
    """CPU time in ns, and exits, from any beginning on; of each only differences matter."""

    probe_ns: int = 0
    worker_ns: int = 0  # of the source's own worker
    engine_ns: int = 0  # of the log engine, without answering others (CpuTimeMeter)
    exits: int = 0

    @property
    def total_ns(self) -> int:
        """The sum of all three."""
        return self.probe_ns + self.worker_ns + self.engine_ns

    def since(self, before: Cost) -> Cost:
        """Return what has come since then."""
        return Cost(
            self.probe_ns - before.probe_ns,
            self.worker_ns - before.worker_ns,
            self.engine_ns - before.engine_ns,
            self.exits - before.exits,
        )


def online_cpus() -> int:
    """Return the number of online CPUs."""
    return max(1, os.sysconf("SC_NPROCESSORS_ONLN"))


class Budget:
    """The last SPAN_S of tracing, compared with the limit.

    limit_percent: of the time of all CPUs, 0 for no limit; it may be changed at any time.
    clock: CLOCK_MONOTONIC in ns.
    """

    def __init__(
        self,
        limit_percent: float,
        cpus: Callable[[], int] = online_cpus,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.limit_percent = limit_percent
        self._cpus = cpus
        self._clock = clock
        self._samples: deque[tuple[int, Cost]] = deque()
        self._began = Cost()
        self._stopped: str | None = None
        self._stopped_at: float | None = None
        self._unreported: str | None = None

    def begin(self, cost: Cost) -> None:
        """Begin: tracing is on from now."""
        self._samples.clear()
        self._samples.append((self._clock(), cost))
        self._began = cost
        self._stopped = self._stopped_at = None

    def end(self) -> None:
        """End: tracing is off and costs nothing."""
        self._samples.clear()

    def add(self, cost: Cost) -> None:
        """Add a sample, once a second; nothing while tracing is off."""
        now_ns = self._clock()
        if not self._samples or now_ns <= self._samples[-1][0]:
            return
        self._samples.append((now_ns, cost))
        while len(self._samples) > 2 and now_ns - self._samples[1][0] >= _SPAN_NS:
            self._samples.popleft()

    def is_over(self) -> bool:
        """Return whether the cost was above the limit over SPAN_S, and in most of that time."""
        if not self.limit_percent or self._span_ns() < _SPAN_NS:
            return False
        over_ns = sum(
            end - begin
            for (begin, before), (end, after) in itertools.pairwise(self._samples)
            if self._percent(after.since(before).total_ns, end - begin) > self.limit_percent
        )
        return self._host_percent() > self.limit_percent and 2 * over_ns > self._span_ns()

    def stop(self) -> str:
        """Note that tracing is switched off now; return why, as report_stop() will."""
        self._stopped_at = time.time()
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._stopped_at))
        self._stopped = self._unreported = (
            f"tracing was switched off at {at} because it took {self._host_percent():.3g} % of the "
            f"CPUs' time (limit {self.limit_percent:.3g} %); raise budget.cpu_percent, trace fewer "
            "guests (--vm) or sample (--one-in), then switch on again"
        )
        return self._stopped

    def report_stop(self) -> str | None:
        """Return the sentence of stop(), once."""
        sentence, self._unreported = self._unreported, None
        return sentence

    def describe(self) -> dict[str, Any]:
        """Return the members of the status answer (docs/switch.md)."""
        span_ns = self._span_ns()
        cost = self._samples[-1][1].since(self._samples[0][1]) if self._samples else Cost()
        all_of_it = self._samples[-1][1].since(self._began) if self._samples else Cost()

        def of_one(ns: int) -> float:
            return round(100 * ns / span_ns, 4) if span_ns else 0.0

        return {
            "limit_percent": self.limit_percent,
            "percent": round(self._host_percent(), 4),
            "cpus": self._cpus(),
            "one_cpu_percent": of_one(cost.total_ns),
            "probes_percent": of_one(cost.probe_ns),
            "worker_percent": of_one(cost.worker_ns),
            "engine_percent": of_one(cost.engine_ns),
            "exit_ns": round(cost.total_ns / cost.exits, 1) if cost.exits > 0 else None,
            "span_s": round(span_ns / _NS_PER_S, 3),
            "since_on": asdict(all_of_it),
            "stopped": self._stopped,
            "stopped_at": self._stopped_at,
        }

    def _span_ns(self) -> int:
        return self._samples[-1][0] - self._samples[0][0] if self._samples else 0

    def _host_percent(self) -> float:
        if not self._span_ns():
            return 0.0
        spent = self._samples[-1][1].since(self._samples[0][1])
        return self._percent(spent.total_ns, self._span_ns())

    def _percent(self, ns: int, elapsed_ns: int) -> float:
        return 100 * ns / elapsed_ns / self._cpus()
