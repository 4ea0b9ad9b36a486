# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's state: its connections, how often it polls, and what that costs."""

from __future__ import annotations

from typing import Any

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import lateness
from kvmlog.vmstats.snapshot import Snapshot
from kvmlog.vmstats.views.figures import figures
from kvmlog.vmstats.views.units import known, seconds_between


def document(snapshot: Snapshot, now: Moment) -> dict[str, Any]:
    """Return the state; `late` is a sentence where the collector should have polled since."""
    return known(
        {
            **figures(snapshot.collector),
            "age_s": seconds_between(snapshot.collector.written, now),
            "late": lateness(snapshot, now),
        }
    )
