# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a guest of the statistics still runs: they keep those that have ended, too."""

from __future__ import annotations

from typing import Final

from kvmlog.guests.names import Guest
from kvmlog.guests.registry import TICK_NS
from kvmlog.ring.statistics.reader import Snapshot, StatisticsGuest
from kvmlog.util.process import is_running

# So long after its last exit a guest is shown of which only exits are known.
_UNANNOUNCED_NS: Final = 60 * 1_000_000_000


def runs(
    guest: StatisticsGuest, known: Guest | None, snapshot: Snapshot, writer_alive: bool
) -> bool:
    """Return whether a guest runs.

    known: what the bridge's list has of it; writer_alive: a bridge keeps that list up to date, else
    the process is looked at.
    """
    if known is not None and known.ended_realtime_ns is not None:
        return False
    if guest.tgid == 0:
        # Its announcement is on its way, or was lost.
        return snapshot.folded_ns - guest.last_ns < _UNANNOUNCED_NS
    if known is not None and writer_alive:
        return True
    return is_running(guest.tgid, guest.start_boottime_ns // TICK_NS)
