# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of a recording are those that the bridge would have kept of the same records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvmlog.guests.names import GuestList
from kvmlog.native import lib
from kvmlog.recording.reader import Recording
from kvmlog.recording.report import recorded_report
from kvmlog.ring.statistics.reader import By
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from tests.support import recordings
from tests.support.records import switch_bytes
from tests.support.statistics_feed import ALL_BY, RECORD, Counting, Records, note


def rows_by_names(snapshot: object, by: By) -> list[object]:
    """The groups, in an order of their own."""
    return sorted(snapshot.rows(by))  # type: ignore[attr-defined]


@pytest.mark.parametrize("isa", ["svm", "vmx"])
def test_all_groups_are_the_same(tmp_path: Path, isa: str) -> None:
    """Counts, sums, percentiles, parts, however they are grouped."""
    records = recordings.exits(30_000, isa=isa, guests=3)
    guests = [recordings.guest(number) for number in (1, 2, 3)]
    path = recordings.write(tmp_path / "x", records, guests=guests)
    with Counting(tmp_path) as counting, Recording(path) as recording:
        counting.feed(np.frombuffer(recordings.announcements(guests), RECORD), records)
        kept, told = counting.snapshot(), recording.statistics()
        assert told.exits == kept.exits == 30_000
        assert told.guests == kept.guests
        for by in ALL_BY:
            assert rows_by_names(told, by) == rows_by_names(kept, by)


def test_guests_that_were_announced_before_are_known(tmp_path: Path) -> None:
    """The file of guests names them: a recording may begin at any time."""
    guests = [recordings.guest(1, "web1", numbers=((1, 5), (2, 900 * 10**9)))]
    records = recordings.exits(1_000, guests=2)
    path = tmp_path / "x"
    recordings.write(path, records, guests=[])
    with Recording(path) as recording:
        assert {one.tgid for one in recording.statistics().guests.values()} == {0}
    other = tmp_path / "y"
    recordings.write(other, records, guests=[recordings.guest(1, "web1"), recordings.guest(2)])
    with Recording(other) as recording:
        names = StatisticsNames(GuestList(recording.guests.guests))
        names.update(recording.statistics().guests)
        assert sorted(names.labels.values()) == ["web1", "web2"]
    # Two numbers of one process in turn: the same guest.
    raw = path.with_name("z")
    with_header = recordings.header(started_monotonic_ns=1_001 * 10**9)
    recordings.write(raw, b"", guests=guests, about=with_header)
    with Recording(raw) as recording:
        assert len(recording.guests.guests) == 1


def test_a_guest_has_one_line_when_tracing_was_on_twice(tmp_path: Path) -> None:
    """Switching on gives guests new numbers, and what has been counted stays theirs."""
    first, second = recordings.exits(10, guests=1), recordings.exits(20, guests=1)
    second["guest"] = 7
    on = np.frombuffer(switch_bytes(on=1, ns=5), RECORD)
    stream: Records = np.concatenate([note(1, 400), first, on, note(7, 400), second])
    path = recordings.write(tmp_path / "x", stream, guests=[])
    with Recording(path) as recording:
        (guest,) = recording.statistics().guests.values()
    assert (guest.tgid, guest.number, guest.exits) == (400, 7, 30)


def test_the_report_covers_the_recording(tmp_path: Path) -> None:
    """Its span, its losses, its guests by name; only those that words name."""
    records = recordings.exits(5_000)
    path = recordings.write(tmp_path / "x", records, lost_records=9)
    with Recording(path) as recording:
        report = recorded_report(recording, Query(by=By.GUEST))
        assert {line.guest for line in report.lines} == {"web1", "web2"}
        assert (report.exits, report.lost_records) == (5_000, 9)
        assert report.since_realtime_ns == recordings.STARTED_REALTIME_NS
        assert report.since_utc_offset_s == recordings.UTC_OFFSET_S
        only = recorded_report(recording, Query(by=By.GUEST), ["web2"])
        assert {line.guest for line in only.lines} == {"web2"}
        assert only.shown_exits == int((records["guest"] == 2).sum())


def test_a_recording_without_an_end_reaches_to_its_last_record(tmp_path: Path) -> None:
    """Nobody knows when it would have ended."""
    records = recordings.exits(50)
    path = recordings.write(tmp_path / "x", records, ended=False)
    with Recording(path) as recording:
        report = recorded_report(recording, Query())
    offset = recordings.STARTED_REALTIME_NS - recordings.STARTED_NS
    assert report.until_realtime_ns == int(records["exit_ns"][-1]) + offset


def test_no_size_but_those_of_statistics_files() -> None:
    """A tally has the layout of a file."""
    from kvmlog.native import ffi

    error = ffi.new("int *")
    assert lib.kvmlog_tally_new(4_711, error) == ffi.NULL
    assert error[0] < 0
