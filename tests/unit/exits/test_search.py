# SPDX-License-Identifier: GPL-2.0-or-later
"""Searches of the ring in C: exactly the records that the selection shows, and no torn one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.exits.reasons import lookup
from kvmlog.exits.search import Search, Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.model import Guest
from kvmlog.guests.names import GuestList
from kvmlog.native import lib
from kvmlog.ring.filter import EVERY_RECORD, SLOTS
from kvmlog.ring.reader import RingReader, Snapshot
from kvmlog.ring.records import RECORD_BYTES, iter_records, unpack_records
from kvmlog.ring.writer import RingWriter
from tests.support import records as make
from tests.support.ring_stress import running

S = 1_000_000_000
TICK_NS = 10_000_000
CAPACITY = 4_096
WRITTEN = 6_000
ISAS = (lib.KVMLOG_ISA_VMX, lib.KVMLOG_ISA_SVM, lib.KVMLOG_ISA_ARM64)
NUMBERS, PROCESSES = 6, 4


def one_of_any_type(dice: random.Random, at: int) -> bytes:
    """Return a record; times go on by 0.1 s from one to the next, give or take some seconds."""
    ns = 100 * S + at * S // 10 + dice.randrange(-3 * S, 3 * S)
    match dice.randrange(30):
        case 0:
            tgid = dice.randrange(1, PROCESSES + 1)
            # The BPF source does not always know when a process was started.
            start_ns = dice.choice((0, tgid * TICK_NS))
            number = dice.randrange(NUMBERS)
            return make.guest_bytes(
                b"q", ns=ns, guest=number, tgid=tgid, start_boottime_ns=start_ns
            )
        case 1:
            return make.loss_bytes(ns=ns, lost=1, cause=lib.KVMLOG_LOSS_BUFFER_FULL)
        case 2:
            return make.clock_bytes(ns=ns, event=lib.KVMLOG_CLOCK_ANCHOR)
        case 3:
            # Of a type that a later version may have.
            return bytes([dice.choice((9, 31, 32, 255))]) + make.clock_bytes(ns=ns)[1:]
    flags = dice.choice((0, lib.KVMLOG_F_USER_REASON))
    return make.exit_bytes(
        isa=dice.choice(ISAS),
        reason=dice.randrange(0x20) | dice.choice((0, 1 << 31)),
        flags=flags,
        user_reason=dice.randrange(10),
        guest=dice.randrange(NUMBERS),
        exit_ns=ns,
        total_ns=dice.choice((0, 1, S // 2, 2 * S)),
    )


def filed(dice: random.Random) -> GuestList:
    """Return guests as the file has them: numbers go from one to another, some are missing."""
    return GuestList(
        [
            Guest(
                pid=pid,
                start_ticks=pid,
                comm="q",
                kind="qemu",
                name=f"web{pid}",
                named=True,
                numbers=tuple(
                    (dice.randrange(NUMBERS), 100 * S + dice.randrange(WRITTEN * S // 10))
                    for _ in range(8)
                ),
            )
            for pid in range(1, PROCESSES)
        ]
    )


def any_selection(dice: random.Random, names: GuestList) -> Selection:
    """Return a selection by some of reason, return, duration and guest."""
    known = lookup.all_reasons()
    found = dice.sample(known, dice.randrange(40)) if dice.random() < 0.7 else []
    words = dice.sample([f"web{pid}" for pid in range(1, PROCESSES)], dice.choice((0, 0, 1, 2)))
    slower_than_ns = dice.choice((0, 0, 1, S))
    return Selection.of(found, slower_than_ns, GuestView(names, words) if words else None)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ring that has wrapped, with records of all types."""
    ring = str(tmp_path_factory.mktemp("ring") / "ring")
    dice = random.Random(1)
    with RingWriter(ring, CAPACITY) as writer:
        writer.append(b"".join(one_of_any_type(dice, at) for at in range(WRITTEN)))
        yield ring


def expected(records: bytes, chosen: Selection) -> list[bytes]:
    """Return those that the selection shows, decided one by one with all announcements known."""
    if chosen.guests is not None:
        chosen.guests.learn(iter_records(records))
    return [
        records[n * RECORD_BYTES : (n + 1) * RECORD_BYTES]
        for n, record in enumerate(iter_records(records))
        if chosen.shows(record)
    ]


def of(found: Snapshot) -> list[bytes]:
    """Return the records found."""
    return [found.records[at:][:RECORD_BYTES] for at in range(0, len(found.records), RECORD_BYTES)]


def drawn(ring: RingReader, dice: random.Random) -> tuple[Snapshot, list[bytes], Selection]:
    """Return the ring's records, those that a random selection shows, and that selection anew."""
    names = filed(dice)
    whole = ring.snapshot()
    state = dice.getstate()
    shown = expected(whole.records, any_selection(dice, names))
    dice.setstate(state)
    return whole, shown, any_selection(dice, names)


@pytest.mark.parametrize("seed", range(80))
def test_the_newest_are_those_that_the_selection_shows(path: str, seed: int) -> None:
    """Reasons, returns, durations, guests whose numbers change hands: as decided one by one."""
    dice = random.Random(seed)
    with RingReader(path) as ring:
        whole, shown, chosen = drawn(ring, dice)
        search = Search(ring, chosen)
        count = dice.choice((1, 10, WRITTEN))
        found = search.newest(count)
        assert of(found) == shown[-count:]
        assert found.next_index == WRITTEN
        assert found.first_index >= whole.first_index


@pytest.mark.parametrize("seed", range(30))
def test_pages_from_a_position_are_those_that_the_selection_shows(path: str, seed: int) -> None:
    """Each once and in order, however many a page has and however many it searches."""
    dice = random.Random(seed)
    with RingReader(path) as ring:
        whole, shown, chosen = drawn(ring, dice)
        if chosen.guests is not None:
            chosen.guests.learn(iter_records(whole.records))
        search = Search(ring, chosen)
        found: list[bytes] = []
        at = whole.first_index
        while at < WRITTEN:
            count, slots = dice.choice((1, 7, WRITTEN)), dice.choice((1, 100, WRITTEN))
            page = search.since(at, count, slots)
            assert (page.first_index, page.overwritten) == (at, 0)
            assert at < page.next_index <= at + slots
            found += of(page)
            at = page.next_index
    assert found == shown


def test_exits_of_a_number_that_only_the_stream_announces_are_found(tmp_path: Path) -> None:
    """The announcement is older than the exits, and the file has forgotten the number."""
    guest = Guest(pid=7, start_ticks=7, comm="q", kind="qemu", name="web", named=True)
    announced = make.guest_bytes(b"q", ns=S, guest=3, tgid=7, start_boottime_ns=7 * TICK_NS)
    exits = [make.exit_bytes(guest=2 + n % 2, exit_ns=2 * S + n) for n in range(1_000)]
    with RingWriter(str(tmp_path / "ring"), 1_024) as writer:
        writer.append(announced + b"".join(exits))
        with RingReader(writer.path) as ring:
            view = GuestView(GuestList([guest]), ["web"])
            found = Search(ring, Selection.of([], 0, view)).newest(5)
    assert [one.ns for one in unpack_records(found.records)] == [
        2 * S + n for n in (991, 993, 995, 997, 999)
    ]


def test_a_search_ends_when_it_has_found_enough(path: str) -> None:
    """first_index is that of the oldest record found: nothing older was looked at."""
    with RingReader(path) as ring:
        found = Search(ring, Selection()).newest(5)
        assert (found.first_index, found.next_index) == (WRITTEN - 5, WRITTEN)
        none = Search(ring, Selection.of([], 2**63)).newest(0)
        assert (none.records, none.first_index, none.next_index) == (b"", WRITTEN, WRITTEN)


def test_a_search_is_in_parts_of_any_size(path: str) -> None:
    """A call searches `slots` at most; the next one goes on where it ended."""
    with RingReader(path) as ring:
        whole = ring.snapshot()
        backwards: list[bytes] = []
        end = None
        while True:
            part = ring.select_newest(EVERY_RECORD, CAPACITY, end, slots=100)
            if part.first_index == part.next_index:
                break
            assert part.next_index - part.first_index <= 100
            backwards.insert(0, part.records)
            end = part.first_index
        assert b"".join(backwards) == whole.records


def test_no_torn_record_is_found_while_the_ring_is_written(tmp_path: Path) -> None:
    """A writer laps the ring; from either end, what it overwrote meanwhile is left out."""
    ring = tmp_path / "ring"
    searched = overwritten = 0
    with running("bridge", ring, 1_024, 2**62, 292), RingReader(ring) as reader:
        for turn in range(200):
            if turn % 2:
                found = reader.select_newest(EVERY_RECORD, SLOTS)
            else:
                found = reader.select_since(EVERY_RECORD, max(0, reader.info().head - 1_024), SLOTS)
            assert len(found.records) == (found.next_index - found.first_index) * RECORD_BYTES
            for n, record in enumerate(of(found)):
                assert is_whole(record, found.first_index + n)
            searched += found.next_index - found.first_index
            overwritten += found.overwritten
    assert searched > 0
    assert overwritten > 0, "the writer never lapped the reader: the race was not run"


def is_whole(record: bytes, index: int) -> bool:
    """Return whether each word follows from the index, as tests/native/ring_race.c writes them."""
    words = memoryview(record).cast("Q")
    return words[0] == ~index % 2**64 and all(
        words[n] == (index + n) * 0x9E3779B97F4A7C15 % 2**64 for n in (1, 2, 7, 12, 13)
    )
