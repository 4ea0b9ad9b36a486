# SPDX-License-Identifier: GPL-2.0-or-later
"""Evidence of a VM in a recording: its exits, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

from kvmlog.guests.names import GuestList
from kvmlog.recording.reader import Recording
from kvmlog.ring.statistics.reader import Snapshot
from kvmlog.stat.names import StatisticsNames
from kvmlog.why.evidence import Evidence, Gap
from kvmlog.why.gather.exits import exits_of

_REST = Gap(
    "state, CPU time, disks, network, memory, the host",
    "a recording has exits only",
    "kvmlog why without --from watches all of it",
)


def evidence_of(recording: Recording, word: str) -> Evidence:
    """Return the evidence of the guests that a word names; GuestError where there is none."""
    snapshot = recording.statistics()
    names = StatisticsNames(GuestList(recording.guests.guests))
    names.update(snapshot.guests)
    over_ns = max(0, recording.last_ns - recording.first_ns)
    return evidence_of_guests(snapshot, names, names.matching([word]), over_ns, word)


def evidence_of_guests(
    snapshot: Snapshot,
    names: StatisticsNames,
    guests: Collection[int],
    over_ns: int,
    word: str,
) -> Evidence:
    """Return the evidence of some guests of statistics over a time; word: their name if unknown."""
    known = [names.guests.get(number) for number in sorted(guests)]
    guest = next((one for one in known if one is not None), None)
    return Evidence(
        name=word if guest is None else guest.name,
        uuid=None if guest is None else guest.uuid,
        pid=None if guest is None else guest.pid,
        over_ns=over_ns,
        vcpus=None,
        exits=exits_of(snapshot, None, guests, over_ns) if over_ns and guests else None,
        gaps=(_REST,),
    )
