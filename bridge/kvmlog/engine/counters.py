# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring's counters: totals over restarts of source and bridge.

The source counts since it was loaded; the ring since it was made. Each status adds what has
changed since the one before, so that seen = emitted + filtered + sampled + dropped + pending,
which holds in every status, holds in the sum.
"""

from __future__ import annotations


class CounterTotals:
    """The ring's totals, to which a source's counters are added (struct kvmlog_counters)."""

    def __init__(self, totals: dict[str, int]) -> None:
        self.totals = dict(totals)
        self._first: dict[str, int] = {}
        self._last: dict[str, int] | None = None

    def begin(self, counters: dict[str, int]) -> None:
        """Begin with an opened source: what it counted before is no part of the ring."""
        self._first = self._last = dict(counters)

    def update(self, counters: dict[str, int]) -> dict[str, int]:
        """Add what the source counted since the last call; return the totals."""
        if self._last is None:
            self.begin(counters)
        last = self._last or {}
        for name in self.totals:
            self.totals[name] += counters.get(name, 0) - last.get(name, 0)
        self._last = dict(counters)
        return self.totals

    def lose(self, arrived: dict[str, int]) -> dict[str, int]:
        """Take note that the source went without a last status; return the totals.

        arrived: exits `emitted` and other records (`notes`) that came from it since begin(), and
        exits that it said it `dropped`: what is more than its last status counted is added.
        What was pending then and did not come is lost.
        """
        more = dict.fromkeys(arrived, 0)
        if self._last is not None:
            counted = {name: self._last[name] - self._first[name] for name in arrived}
            more = {name: max(0, arrived[name] - counted[name]) for name in arrived}
        self._last = None
        ended = more["emitted"] + more["dropped"]
        pending = self.totals["pending"]
        self.totals["pending"] = 0
        self.totals["seen"] += max(0, ended - pending)
        self.totals["emitted"] += more["emitted"]
        self.totals["dropped"] += more["dropped"] + max(0, pending - ended)
        self.totals["notes"] += more["notes"]
        return self.totals
