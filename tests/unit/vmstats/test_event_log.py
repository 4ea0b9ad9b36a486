# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of events, as the collector writes it and the history follows it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.util.errors import VmStatsError, VmStatsMissingError
from kvmlog.vmstats import event_log, events
from kvmlog.vmstats.event_log import EventLog
from kvmlog.vmstats.events import Event, EventReader, Kind, Occurrence
from kvmlog.vmstats.moment import Moment

BOOT = "8c7a1f2e-0000-4000-8000-000000000001"


def occurrence(number: int, **facts: str) -> Occurrence:
    """An I/O error of a VM."""
    return Occurrence(
        Moment(number, number), "qemu:///system", Kind.IO_ERROR, "u", "wéb1", "enospc", facts
    )


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the file is."""
    return str(tmp_path / "vms.json.events")


@pytest.fixture
def writer(path: str) -> Iterator[EventLog]:
    """Its writer."""
    with EventLog(path, BOOT) as made:
        yield made


def numbers(found: list[Event]) -> list[int]:
    """The events' numbers."""
    return [event.sequence for event in found]


def test_events_arrive_whole_and_once(path: str, writer: EventLog) -> None:
    """Each with its number, what it says, and nothing before handle()."""
    writer.handle()
    reader = EventReader(path)
    header, first = reader.read()
    assert header.boot_id == BOOT
    assert [(event.sequence, event.what.kind) for event in first] == [(1, Kind.BEGAN)]
    happened = occurrence(5, alias="virtio-disk0", path="/a\nb")
    writer.note(happened)
    assert reader.read() == (header, [])
    writer.handle()
    assert reader.read() == (header, [Event(2, happened)])
    assert reader.read() == (header, [])


def test_a_line_that_is_being_written_is_read_later(path: str, writer: EventLog) -> None:
    """Its first half alone is none."""
    writer.handle()
    reader = EventReader(path)
    reader.read()
    line = events.encode(Event(2, occurrence(1)))
    with open(path, "ab", buffering=0) as file:
        file.write(line[:40])
        assert reader.read()[1] == []
        file.write(line[40:])
    assert numbers(reader.read()[1]) == [2]


def test_numbers_go_on_in_the_next_collector(path: str, writer: EventLog) -> None:
    """Within a boot, with those that nobody has read yet; in another they begin anew."""
    writer.note(occurrence(1))
    writer.close()
    with EventLog(path, BOOT) as second:
        second.note(occurrence(2))
        second.handle()
        header, found = EventReader(path).read()
    assert numbers(found) == [1, 2, 3, 4]
    assert [event.what.kind for event in found][2] == Kind.BEGAN
    with EventLog(path, "another boot") as third:
        third.handle()
        other, found = EventReader(path).read()
    assert numbers(found) == [1]
    assert other.log_id != header.log_id


def test_the_file_is_bounded(path: str, writer: EventLog) -> None:
    """The newest half stays; a reader that follows misses nothing, one that comes late is told."""
    reader, seen = EventReader(path), []
    for number in range(40):
        for _ in range(200):
            writer.note(occurrence(number, path="x" * 200))
        writer.handle()
        assert os.path.getsize(path) <= events.FILE_BYTES
        seen += numbers(reader.read()[1])
    assert sorted(set(seen)) == list(range(1, 8_002))
    late = numbers(EventReader(path).read()[1])
    assert late == list(range(late[0], 8_002))
    assert late[0] > 1_000


def test_more_than_can_wait_are_a_gap(
    path: str, writer: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers tell how many."""
    monkeypatch.setattr(event_log, "_WAITING_MOST", 3)
    for number in range(10):
        writer.note(occurrence(number))
    writer.handle()
    writer.note(occurrence(10))
    writer.handle()
    assert numbers(EventReader(path).read()[1]) == [1, 2, 3, 12]


def test_a_full_file_system_loses_nothing(
    path: str, writer: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was cut is taken back; all is written once there is room."""
    writer.handle()
    writer.note(occurrence(1))
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: real(fd, content[:10]))
    writer.handle()
    monkeypatch.setattr(os, "write", _full)
    writer.handle()
    monkeypatch.undo()
    writer.note(occurrence(2))
    writer.handle()
    assert numbers(EventReader(path).read()[1]) == [1, 2, 3]


def _full(_fd: int, _content: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"[1]\n",
        b'{"format":"kvmlog-events","version":2,"log_id":"a","boot_id":"b"}\n',
        b'{"format":"kvmlog-events","version":1,"log_id":"a","boot_id":7}\n',
        b'{"format":"kvmlog-events","version":1,"log_id":"a","boot_id":"b"}\n{"sequence":1}\n',
        b'{"format":"kvmlog-events","version":1,"log_id":"a","boot_id":"b"}\n\xff\n',
    ],
)
def test_a_foreign_file(path: str, content: bytes) -> None:
    """A sentence, and the next collector begins another in its place."""
    Path(path).write_bytes(content)
    with pytest.raises(VmStatsError, match="restart the collector"):
        EventReader(path).read()
    with EventLog(path, BOOT) as writer:
        writer.handle()
        assert numbers(EventReader(path).read()[1]) == [1]


def test_no_file(path: str) -> None:
    """There is no collector."""
    with pytest.raises(VmStatsMissingError, match="start the collector"):
        EventReader(path).read()
