# SPDX-License-Identifier: GPL-2.0-or-later
"""A moment, on the two clocks that are needed of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, order=True)
class Moment:
    """A moment, ordered by the clock that no one sets."""

    monotonic_ns: int  # CLOCK_MONOTONIC of the collector's host: ages and intervals
    realtime_ns: int  # CLOCK_REALTIME, since 1970: what is shown

    @classmethod
    def now(cls) -> Self:
        """Return this moment."""
        return cls(time.monotonic_ns(), time.time_ns())
