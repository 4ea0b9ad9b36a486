# SPDX-License-Identifier: GPL-2.0-or-later
"""The cap on exits recorded a second: `one_in` raised while there are too many, and lowered again.

It samples what the source counted between two ticks of the engine, so what comes within the first
second of a storm is recorded in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.control.sampling import MOST_ONE_IN, Sampling

_NS_PER_S: Final = 1_000_000_000
# Twice as many have to fit below the cap with room to spare, for so long, or the next tick would
# raise it again.
_CALM_TICKS: Final = 3
_CALM_TENTHS: Final = 9


class RateCap:
    """`one_in` is what the source should have now; at least what was asked for."""

    def __init__(self, sampling: Sampling) -> None:
        self._asked = sampling
        self.one_in = sampling.one_in
        self._before: tuple[int, int] | None = None  # (exits recorded, ns)
        self._calm = 0

    def adjust(self, counters: Mapping[str, int], now_ns: int) -> bool:
        """Take the source's counters at a time (ns); return whether `one_in` has changed.

        It is doubled as often as is needed at once, and halved once, after three calm samples.
        """
        most = self._asked.max_per_s
        if most is None:
            return False
        # An exit that was dropped came through the sampling too.
        recorded = counters.get("emitted", 0) + counters.get("dropped", 0)
        before, self._before = self._before, (recorded, now_ns)
        if before is None or recorded < before[0] or now_ns <= before[1]:
            return False
        exits, took_ns = recorded - before[0], now_ns - before[1]
        fresh = self.one_in
        while exits * _NS_PER_S * self.one_in > most * took_ns * fresh and fresh < MOST_ONE_IN:
            fresh = min(2 * fresh, MOST_ONE_IN)
        calm = 2 * exits * _NS_PER_S * 10 <= most * took_ns * _CALM_TENTHS
        self._calm = self._calm + 1 if calm and self.one_in > self._asked.one_in else 0
        if self._calm >= _CALM_TICKS:
            self._calm = 0
            fresh = max(self._asked.one_in, self.one_in // 2)
        changed = fresh != self.one_in
        self.one_in = fresh
        if changed:
            # What the last configuration lets through after this sample is not this one's doing.
            self._before = None
        return changed

    def pause(self) -> None:
        """Begin anew with the next counters: the source was away or off."""
        self._before = None
        self._calm = 0
