# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracks of the time line, a vCPU each, and which track an exit belongs to.

Records have the number that the source gave their guest. Numbers begin again with the source, so
that the table of guests tells whose they were when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from kvmlog.analysis.report.columns import Array, ends_ns
from kvmlog.guests.table import GuestTable
from kvmlog.ring.records import NO_VCPU
from kvmlog.ring.statistics.reader import StatisticsGuest

# 512 guests of 8 vCPUs each; what is beyond shares one track.
TRACKS_MOST: Final = 4_096


class Track(NamedTuple):
    """A vCPU of a guest, which is named as in tables; vcpu None: unknown."""

    guest: str
    vcpu: int | None


BEYOND: Final = Track("others", None)


@dataclass
class Tracks:
    """All tracks met so far, in order of appearance.

    known: guests of the statistics, labels: their names, by id.
    """

    table: GuestTable
    known: Mapping[int, StatisticsGuest]
    labels: Mapping[int, str]
    tracks: list[Track] = field(default_factory=list)
    _numbers: dict[Track, int] = field(default_factory=dict)
    _by_number: dict[int, list[str]] = field(default_factory=dict)
    _by_process: dict[int, list[tuple[int, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.known.values():
            label = self.labels.get(one.id, "") or f"#{one.number}"
            self._by_number.setdefault(one.number, []).append(label)
            self._by_process.setdefault(one.tgid, []).append((one.number, label))

    def of(self, exits: Array) -> Array:
        """Return the number of each exit's track."""
        if not len(exits):
            return np.zeros(0, dtype="u4")
        pairs = exits["guest"].astype("u8") << np.uint64(16) | exits["vcpu"]
        different, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
        ends = ends_ns(exits)
        earliest, latest = int(ends.min()), int(ends.max())
        found = np.zeros(len(different), dtype="u4")
        moved = []
        for at, pair in enumerate(different.tolist()):
            number, vcpu = pair >> 16, pair & 0xFFFF
            turns = sorted(t for t in self.table.turns_ns(number) if earliest < t <= latest)
            found[at] = self._track(number, vcpu, int(ends[first[at]]))
            if turns:
                moved.append((at, number, vcpu, turns))
        tracks: Array = found[inverse]
        for at, number, vcpu, turns in moved:
            own = np.flatnonzero(inverse == at)
            spans = np.searchsorted(np.array(turns, dtype="u8"), ends[own], side="right")
            for span in np.unique(spans).tolist():
                inside = own[spans == span]
                tracks[inside] = self._track(number, vcpu, int(ends[inside[0]]))
        return tracks

    def _track(self, number: int, vcpu: int, ns: int) -> int:
        track = Track(self._label(number, ns), None if vcpu == NO_VCPU else vcpu)
        if track not in self._numbers:
            if len(self.tracks) >= TRACKS_MOST:
                track = BEYOND
            if track not in self._numbers:
                self._numbers[track] = len(self.tracks)
                self.tracks.append(track)
        return self._numbers[track]

    def _label(self, number: int, ns: int) -> str:
        guest = self.table.of_number(number, ns)
        if guest is not None:
            own = self._by_process.get(guest.pid, [])
            if len(own) == 1:
                return own[0][1]
            for one, label in own:
                if one == number:
                    return label
            if not own:
                return guest.name
        labels = self._by_number.get(number, [])
        return labels[-1] if labels else f"#{number}"
