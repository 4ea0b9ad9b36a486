# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of `kvmlog stat` on a recording."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlog.guests.names import GuestList
from kvmlog.recording.reader import Recording
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from kvmlog.stat.report import Moment, Report, report


def recorded_report(recording: Recording, query: Query, words: Sequence[str] = ()) -> Report:
    """Return the report on all exits of a recording, of the guests that words name (none: all).

    GuestError for a word that names none.
    """
    snapshot = recording.statistics()
    names = StatisticsNames(GuestList(recording.guests.guests))
    names.update(snapshot.guests)
    guest_ids = names.matching(words) if words else None
    until_ns = recording.clocks().at(recording.last_ns).realtime_ns
    if recording.end is not None:
        until_ns = recording.end.ended_realtime_ns
    now = Moment(snapshot, recording.lost_records, until_ns, 0, recording.clocks())
    return report(now, None, names, query, guest_ids)
