# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmlog.analysis.report.tracks: whose vCPU an exit is, under the names of the tables."""

from __future__ import annotations

import numpy as np

from kvmlog.analysis.report.tracks import Track, Tracks
from kvmlog.guests.table import GuestTable
from kvmlog.ring.records import NO_VCPU
from tests.support import recordings
from tests.support.statistics_feed import Records, exits

SECOND = 10**9


def names(tracks: Tracks, records: Records) -> list[Track]:
    """The track of each exit."""
    return [tracks.tracks[number] for number in tracks.of(records).tolist()]


def test_a_number_that_is_given_again_belongs_to_its_guest_of_then() -> None:
    """Number 1 was web1's until the source was loaded again, and is db1's since."""
    first = recordings.guest(1, "web1", numbers=((1, SECOND),))
    second = recordings.guest(2, "db1", numbers=((1, 10 * SECOND),))
    tracks = Tracks(GuestTable([first, second]), {}, {})
    records = exits(4, guest=1, vcpu=[0, 0, 1, 0], total_ns=5)
    records["exit_ns"] = np.array([2, 11, 3, 12]) * SECOND
    assert names(tracks, records) == [
        Track("web1", 0),
        Track("db1", 0),
        Track("web1", 1),
        Track("db1", 0),
    ]


def test_unknown_guests_and_vcpus_have_tracks_too() -> None:
    """They go by the source's number; a vCPU that is not known has no number."""
    tracks = Tracks(GuestTable([]), {}, {})
    found = names(tracks, exits(2, guest=[7, 8], vcpu=[NO_VCPU, 3]))
    assert found == [Track("#7", None), Track("#8", 3)]
    assert names(tracks, exits(0)) == []
