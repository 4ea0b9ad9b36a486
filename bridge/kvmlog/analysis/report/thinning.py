# SPDX-License-Identifier: GPL-2.0-or-later
"""Which exits the page has one by one.

All of them, up to EXITS_MOST. Of a longer recording: those around its longest exits, and of each
small part of each vCPU's time the longest exit and the shortest, so that the time line shows no
maximum that is too low, however far it is zoomed out.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kvmlog.analysis.report.columns import EXIT, Array
from kvmlog.analysis.report.scan import Scan

EXITS_MOST: Final = 1_000_000
# Around each of the longest exits, ns, and how many exits at most.
_MARGIN_NS: Final = 5_000_000
_AROUND_MOST: Final = 10_000
_BUCKETS: Final = 1 << 20
# Exits that are held before those of the same part are compared.
_HELD: Final = 2_000_000


class Thinning:
    """Takes the exits of a recording block by block, and keeps those for the page."""

    def __init__(self, found: Scan, windows: list[tuple[int, int]], most: int = EXITS_MOST) -> None:
        self._most = most
        self._all = found.exits <= most
        self._windows = [] if self._all else windows
        self._begun_ns, self._length_ns = found.begun_ns, max(1, found.length_ns)
        self._kept: list[Array] = []
        self._around: list[Array] = [np.zeros(0, dtype=EXIT) for _ in self._windows]
        self._held = 0
        self._parts = _BUCKETS

    def add(self, exits: Array) -> None:
        """Take a block of EXIT."""
        for at, (begun, ended) in enumerate(self._windows):
            times = exits["exit_ns"]
            near = (times + np.uint64(_MARGIN_NS) >= begun) & (times <= ended + _MARGIN_NS)
            room = _AROUND_MOST - len(self._around[at])
            if room and near.any():
                self._around[at] = np.concatenate([self._around[at], exits[near][:room]])
        self._kept.append(exits)
        self._held += len(exits)
        if not self._all and self._held > max(_HELD, 2 * self._most):
            self._compare()

    def exits(self) -> Array:
        """Return the exits kept, by track and time; each is there once."""
        most = self._most - sum(len(one) for one in self._around)
        while not self._all and self._held > max(2, most):
            self._compare()
            self._parts //= 2
        found: Array = np.concatenate([np.zeros(0, dtype=EXIT), *self._kept, *self._around])
        order = np.lexsort((found["total_ns"], found["exit_ns"], found["track"]))
        found = found[order]
        if self._around:
            again = np.zeros(len(found), dtype=bool)
            again[1:] = found[1:] == found[:-1]
            found = found[~again]
        return found

    def _compare(self) -> None:
        """Keep the longest and the shortest exit of each part of each track, halts apart."""
        exits = np.concatenate(self._kept)
        since = (exits["exit_ns"] - np.uint64(self._begun_ns)).astype("f8") / self._length_ns
        part = np.minimum((since * self._parts).astype("u8"), np.uint64(self._parts - 1))
        key = (exits["track"].astype("u8") * np.uint64(_BUCKETS) + part) * np.uint64(2)
        key += exits["halt"]
        order = np.lexsort((exits["total_ns"], key))
        key = key[order]
        chosen = np.ones(len(key), dtype=bool)
        # The first of a key is its shortest, the last its longest.
        chosen[1:-1] = (key[1:-1] != key[:-2]) | (key[1:-1] != key[2:])
        kept = exits[order[chosen]]
        self._kept, self._held = [kept], len(kept)
