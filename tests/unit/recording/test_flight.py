# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of the flight recorder: which exits they are, and that none is missed or told twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.native import ffi, lib
from kvmlog.recording import flight
from kvmlog.recording.flight import Lookout, parse
from kvmlog.recording.format import RecordingError
from kvmlog.ring.reader import RingReader
from kvmlog.ring.writer import RingWriter
from tests.support import recordings
from tests.support.statistics_feed import Records, exits

MS = 1_000_000
HLT, NPF, SHUTDOWN, VMX_TRIPLE_FAULT = 0x78, 0x400, 0x7F, 2
KVM_EXIT_SHUTDOWN, KVM_EXIT_INTERNAL_ERROR = 8, 17


class Ring:
    """A ring, and a reader of it."""

    def __init__(self, path: Path, slots: int = 1_024) -> None:
        self.writer = RingWriter(str(path), slots)
        self.reader = RingReader(path)

    def write(self, *parts: Records) -> None:
        """Append records."""
        for part in parts:
            self.append(part.tobytes())

    def append(self, raw: bytes) -> None:
        """Append whole records."""
        count = len(raw) // lib.KVMLOG_RECORD_BYTES
        lib.kvmlog_writer_append(self.writer.native, ffi.from_buffer(raw), count)

    def close(self) -> None:
        """Both."""
        self.reader.close()
        self.writer.close()


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    """An empty one."""
    one = Ring(tmp_path / "ring")
    yield one
    one.close()


def look(ring: Ring, *triggers: str, **options: Any) -> Lookout:
    """A lookout from now on."""
    return Lookout(ring.reader, [parse(one) for one in triggers], **options)


@pytest.mark.parametrize(
    ("fields", "is_slow"),
    [
        ({"total_ns": 10 * MS}, True),
        ({"total_ns": 10 * MS - 1}, False),
        ({"total_ns": 500 * MS, "halt_ns": 495 * MS}, False),
        ({"total_ns": 500 * MS, "halt_ns": 490 * MS}, True),
        ({"total_ns": 500 * MS, "user_ns": 500 * MS, "paused_ns": 499 * MS}, False),
        ({"total_ns": 500 * MS, "user_ns": 500 * MS}, True),
        ({"total_ns": 5, "halt_ns": 500 * MS}, False),
    ],
)
def test_halts_and_pauses_do_not_make_an_exit_slow(
    ring: Ring, fields: dict[str, int], is_slow: bool
) -> None:
    """Nor what contradicts itself."""
    lookout = look(ring, "slower-than 10ms")
    ring.write(exits(3), exits(**fields))
    event = lookout.look()
    assert (event is not None) == is_slow


@pytest.mark.parametrize(
    ("trigger", "fields"),
    [
        ("triple-fault", {"isa": lib.KVMLOG_ISA_VMX, "reason": VMX_TRIPLE_FAULT}),
        ("triple-fault", {"reason": SHUTDOWN}),
        ("shutdown", {"reason": SHUTDOWN}),
        (
            "KVM_EXIT_SHUTDOWN",
            {"flags": lib.KVMLOG_F_USER_REASON, "user_reason": KVM_EXIT_SHUTDOWN},
        ),
        (
            "internal-error",
            {"flags": lib.KVMLOG_F_USER_REASON, "user_reason": KVM_EXIT_INTERNAL_ERROR},
        ),
        ("npf", {"reason": NPF}),
        ("slower_than 1ms", {"total_ns": MS}),
    ],
)
def test_each_event_is_found_among_others(ring: Ring, trigger: str, fields: dict[str, int]) -> None:
    """And once only."""
    lookout = look(ring, trigger)
    ring.write(exits(500, reason=HLT), exits(guest=3, vcpu=1, exit_ns=77, **fields))
    ring.write(exits(20, reason=HLT))
    event = lookout.look()
    assert event is not None
    assert event.record.exit_ns == 77
    assert event.trigger == trigger.replace("_than", "-than")
    assert event.text("web1").startswith(f"{event.trigger}: web1, vCPU 1, ")
    assert event.text(None).startswith(f"{event.trigger}: guest 3, vCPU 1, ")
    assert lookout.look() is None


def test_what_was_there_before_is_no_event(ring: Ring) -> None:
    """Nor what comes with an event, or while it is skipped."""
    ring.write(exits(reason=NPF))
    lookout = look(ring, "npf")
    assert lookout.look() is None
    ring.write(exits(5, reason=NPF))
    assert lookout.look() is not None
    assert lookout.look() is None
    ring.write(exits(reason=NPF))
    lookout.skip()
    assert lookout.look() is None


def test_of_several_the_first_that_was_written(ring: Ring) -> None:
    """Whatever stands first on the command line."""
    lookout = look(ring, "npf", "slower-than 1ms")
    ring.write(exits(exit_ns=5, total_ns=MS), exits(exit_ns=MS + 9, reason=NPF))
    event = lookout.look()
    assert event is not None
    assert event.trigger == "slower-than 1ms"


def test_only_of_chosen_guests(ring: Ring) -> None:
    """The file of guests tells them, and announcements that come with the exits."""
    guests = [recordings.guest(1, "web1"), recordings.guest(2, "db1")]
    view = GuestView(GuestList(guests), ["db1"])
    lookout = look(ring, "npf", guests=view)
    at = recordings.STARTED_NS + 10**9
    ring.write(exits(reason=NPF, guest=1, exit_ns=at))
    assert lookout.look() is None
    ring.write(exits(reason=NPF, guest=1, exit_ns=at), exits(reason=NPF, guest=2, exit_ns=at + 1))
    event = lookout.look()
    assert event is not None
    assert event.record.guest == 2


def test_a_guest_that_is_not_listed_yet_has_not_the_name_of_an_older_one(ring: Ring) -> None:
    """Both were announced by the same number; the announcement may come after the exit."""
    view = GuestView(GuestList([recordings.guest(1, "old")]))
    lookout = look(ring, "npf")
    at = recordings.STARTED_NS + 10**9
    ring.write(exits(reason=NPF, guest=1, exit_ns=at))
    event = lookout.look()
    assert event is not None
    ring.append(recordings.announcements([recordings.guest(1, pid=77, numbers=((1, at + 1),))]))
    text = flight.describe(ring.reader, view, event)
    assert text.startswith("npf: guest 1, vCPU 0, ")


def test_a_ring_that_is_replaced_is_looked_at_from_its_begin(ring: Ring, tmp_path: Path) -> None:
    """What the new one has is new."""
    lookout = look(ring, "npf")
    ring.write(exits(700))
    assert lookout.look() is None
    with RingWriter(str(tmp_path / "fresh"), 1_024) as fresh:
        os.rename(tmp_path / "fresh", tmp_path / "ring")
        raw = exits(3, reason=NPF).tobytes()
        lib.kvmlog_writer_append(fresh.native, ffi.from_buffer(raw), 3)
        assert lookout.look() is not None


def test_more_than_one_search_takes_is_looked_at(tmp_path: Path) -> None:
    """The event is the last record of many, in a large ring."""
    ring = Ring(tmp_path / "ring", 1 << 18)
    try:
        lookout = look(ring, "npf")
        ring.write(exits(200_000, reason=HLT), exits(reason=NPF))
        assert lookout.look() is not None
    finally:
        ring.close()


def test_how_much_of_the_time_before_is_missing(ring: Ring) -> None:
    """Only a ring that has overwritten some lacks any."""
    times = range(1_000, 1_500)
    ring.write(exits(500, exit_ns=list(times)))
    assert flight.missing_before_ns(ring.reader, 0) == 0
    ring.write(exits(1_024, exit_ns=list(range(2_000, 3_024))))
    assert flight.oldest_index(ring.reader) == 500
    assert flight.missing_before_ns(ring.reader, 500) == 1_500
    assert flight.missing_before_ns(ring.reader, 2_500) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is nothing to wait for"),
        ("slower-than", "is not a time to wait for"),
        ("slower-than 5", "is not a time to wait for"),
        ("slower-than -5ms", "is not a time to wait for"),
        ("slower-than 1e9s", "is not a time to wait for"),
        ("faster-than 5ms", "is nothing to wait for"),
        ("npff", "similar: npf"),
    ],
)
def test_what_is_no_event_is_a_sentence(text: str, words: str) -> None:
    """It says what may be given."""
    with pytest.raises(RecordingError, match=words):
        parse(text)
