# SPDX-License-Identifier: GPL-2.0-or-later
"""A moment that is kept: on the clock that is shown, and on the one that nobody sets."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Stamp:
    """A moment of this host, over restarts of it."""

    realtime_ns: int  # CLOCK_REALTIME, since 1970
    monotonic_ns: int  # CLOCK_MONOTONIC of the boot
    boot_id: str  # lower case, with dashes

    @classmethod
    def now(cls, boot_id: str) -> Self:
        """Return this moment of a boot, that of this host."""
        return cls(time.time_ns(), time.monotonic_ns(), boot_id)

    def until(self, later: Stamp) -> int:
        """Return the ns from this moment to a later one, never less than 0.

        Within one boot it is what has passed, whatever the time of day was set to meanwhile.
        """
        if self.boot_id == later.boot_id:
            return max(0, later.monotonic_ns - self.monotonic_ns)
        return max(0, later.realtime_ns - self.realtime_ns)

    def as_seen_from(self, later: Stamp) -> int:
        """Return its time of day, ns since 1970, by the clock as a later moment had it.

        A host that boots with a wrong clock sets it some seconds later.
        """
        if self.boot_id == later.boot_id:
            return later.realtime_ns - self.until(later)
        return self.realtime_ns
