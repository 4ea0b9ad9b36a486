# SPDX-License-Identifier: GPL-2.0-or-later
"""A model of a recording: all that the page says of it, before it is words and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvmlog.analysis.report import series as second
from kvmlog.analysis.report.columns import RECORD
from kvmlog.analysis.report.compare import Comparison, Side, compare
from kvmlog.analysis.report.findings import Findings, findings
from kvmlog.analysis.report.groups import Groups, groups_of
from kvmlog.analysis.report.scan import Scan, scan
from kvmlog.analysis.report.series import Series
from kvmlog.analysis.report.timeline import Timeline, timeline
from kvmlog.analysis.report.tracks import Track, Tracks
from kvmlog.guests.labels import GuestLabels
from kvmlog.guests.names import GuestList
from kvmlog.recording.header import End, Header
from kvmlog.recording.reader import Recording
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.records import Record


@dataclass(frozen=True)
class Model:
    """One recording. over_ns: its length, by its records and by what it says itself.

    problems: what could not be read, and that it was cut, a sentence each.
    """

    path: str
    header: Header
    end: End | None
    clocks: Clocks
    records: int
    lost_records: int
    over_ns: int
    scan: Scan
    series: Series
    timeline: Timeline
    groups: Groups
    labels: GuestLabels
    findings: Findings
    problems: Sequence[str]

    def track(self, record: Record) -> Track:
        """Return guest and vCPU of an exit, as the time line calls them."""
        raw = np.zeros(1, dtype=RECORD)
        for name in ("guest", "vcpu", "exit_ns", "total_ns"):
            raw[name] = getattr(record, name)
        tracks = self.series.tracks
        return tracks.tracks[int(tracks.of(raw)[0])]


def gather(recording: Recording) -> Model:
    """Read a recording: once for its statistics, twice for what is drawn."""
    found = scan(recording.blocks())
    groups = groups_of(recording, recording.statistics())
    codes = found.counter.codes()
    tracks = Tracks(recording.guests, groups.snapshot.guests, groups.names.labels)
    by_exits = sorted(groups["guest"].guests, key=lambda one: (-one.exits, one.label))
    labels = list(dict.fromkeys(one.label for one in by_exits))
    drawn = second.read(recording.blocks(), found, codes, tracks, labels)
    shown = timeline(
        drawn.thinning.exits(), found.exits, found.begun_ns, tracks.tracks, codes.kinds
    )
    over_ns = _length_ns(recording, found)
    known = GuestLabels(GuestList(recording.guests.guests))
    return Model(
        path=recording.path,
        header=recording.header,
        end=recording.end,
        clocks=recording.clocks(),
        records=recording.records,
        lost_records=recording.lost_records,
        over_ns=over_ns,
        scan=found,
        series=drawn,
        timeline=shown,
        groups=groups,
        labels=known,
        findings=findings(groups, over_ns),
        problems=_problems(recording),
    )


def changes(before: Model, after: Model) -> Comparison:
    """Return what changed from one recording to another."""
    return compare(Side(before.groups, before.over_ns), Side(after.groups, after.over_ns))


def _length_ns(recording: Recording, found: Scan) -> int:
    """Return how long was recorded: to its end where it says so, not only to the last exit."""
    begun_ns = recording.header.started_monotonic_ns
    if recording.end is None or recording.end.ended_monotonic_ns <= begun_ns:
        return max(1, found.length_ns)
    # Exits that were under way when it began are older than it.
    return recording.end.ended_monotonic_ns - min(begun_ns, found.begun_ns or begun_ns)


def _problems(recording: Recording) -> list[str]:
    found = list(recording.damaged)
    if recording.is_cut():
        found.append(
            f"{recording.path}: the recording was not ended in order (its writer was killed, or "
            "there was no room left); this page has all up to its last whole block"
        )
    if not recording.records:
        found.append(f"{recording.path}: there is no record in it; trace while you record")
    return found
