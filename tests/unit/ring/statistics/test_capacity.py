# SPDX-License-Identifier: GPL-2.0-or-later
"""A file of fixed size: what happens when there is no room, and how room is made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kvmlog.bridge.main import resident_bytes
from kvmlog.engine.monitor import UNKNOWN_NS, is_alive
from kvmlog.guests.registry import GuestRegistry
from kvmlog.native import lib
from kvmlog.ring.statistics.reader import By, StatisticsGuest
from kvmlog.util.process import start
from tests.support.statistics_feed import (
    PARTS,
    Counting,
    Elements,
    Records,
    add_up,
    counted,
    exits,
    note,
)

MIB = 1 << 20
FLAGS = lib.KVMLOG_F_DETAIL_VALID | lib.KVMLOG_F_USER_REASON
# More would mean that memory grows with the number of guests; a mapped file of 2 MiB is in it.
GROWTH = 24 * MIB


def many_kinds(count: int, guests: int, seed: int) -> Records:
    """Exits that need far more rows than the smallest file has."""
    random = np.random.default_rng(seed)
    return exits(
        count,
        guest=random.integers(1, guests + 1, count),
        vcpu=random.integers(0, 64, count),
        reason=random.integers(0, 200, count),
        flags=FLAGS,
        user_reason=random.integers(0, 30, count),
        detail=random.integers(0, 5_000, count),
        total_ns=random.lognormal(10, 4, count).astype(np.uint64),
    )


def assert_whole(counting: Counting) -> None:
    """Nothing has vanished, and the free elements are those that nobody has."""
    snapshot = counting.snapshot()
    header, elements = counting.writer.header(), Elements(snapshot)
    blocks = int(np.count_nonzero(elements.reasons["blocks"]))
    assert snapshot.exits == counted(snapshot)
    assert header.reasons_capacity - header.reasons_free == len(elements.reasons)
    assert header.rows_capacity - header.rows_free == len(elements.rows)
    assert header.guests_capacity - header.guests_free == len(snapshot.guests)
    assert header.blocks_capacity - header.blocks_free == blocks + 1  # block 0 is never used
    assert (snapshot.torn, add_up(list(snapshot.rows(By(0))), "count")) == (
        0,
        int(elements.reasons["sums"]["count"].sum()),
    )


def test_the_smallest_file_overflows_without_losing_count(tmp_path: Path) -> None:
    """Rows, histograms and guests run out, each is counted; times that are there add up."""
    count, guests = 60_000, 60
    with Counting(tmp_path) as counting:
        counting.feed(many_kinds(count, guests, 1))
        assert_whole(counting)
        snapshot, header = counting.snapshot(), counting.writer.header()
        rows = snapshot.rows(By.GUEST | By.REASON)
    assert (snapshot.exits, len(snapshot.guests)) == (count, header.guests_capacity)
    assert min(snapshot.overflow, snapshot.overflow_rows, snapshot.overflow_histogram) > 0
    assert (header.guests_free, header.reasons_free, header.rows_free) == (0, 0, 0)
    assert all(sum(getattr(row, part) for part in PARTS) == row.total_ns for row in rows)
    assert add_up(rows, "total_ns") + header.overflow_ns == int(
        many_kinds(count, guests, 1)["total_ns"].sum()
    )


def test_what_overflowed_has_room_again_when_guests_are_forgotten(tmp_path: Path) -> None:
    """All of them: the file is as good as new, and says how many exits it has forgotten."""
    with Counting(tmp_path) as counting:
        counting.feed(many_kinds(60_000, 60, 2))
        before = counting.snapshot()
        counting.forget(*before.guests)
        assert_whole(counting)
        after = counting.snapshot()
        header = counting.writer.header()
        counting.feed(note(99, 999), exits(5, guest=99, total_ns=10**6))
        (row,) = counting.rows()
    assert (after.forgotten, after.overflow) == (60_000 - before.overflow, before.overflow)
    assert header.guests_forgotten == len(before.guests)
    assert header.rows_free == header.rows_capacity
    assert (row.count, row.p50_ns) == (5, 10**6)


def running_are(one: int, youngest: int) -> Callable[[StatisticsGuest], bool]:
    """Return a predicate for make_room(): that number, and all from `youngest` on, are alive."""
    return lambda guest: guest.number == one or guest.number >= youngest


def test_ten_thousand_guests_come_and_go_in_bounded_memory(tmp_path: Path) -> None:
    """One runs all the time and is never forgotten; the others end after a hundred more came."""
    guests, alive_at_once, mib = 10_000, 100, 8
    with Counting(tmp_path, mib) as counting:
        counting.feed(note(1, 1_000_000), exits(1, guest=1))
        before = made = 0
        for number in range(2, guests + 2):
            # As once a second, when dozens of guests come each second.
            if number % 20 == 0:
                made += counting.writer.make_room(running_are(1, number - alive_at_once))
            counting.feed(
                note(number, number),
                exits(1, guest=1, exit_ns=number),
                exits(
                    6,
                    guest=number,
                    reason=[1, 2, 3, 1, 2, 3],
                    vcpu=[0, 1, 0, 1, 0, 1],
                    total_ns=[100, 20_000, 3_000, 5, 0, 10**9],
                    exit_ns=number,
                ),
            )
            if number % 1_000 == 0:
                assert_whole(counting)
                before = before or resident_bytes()
        assert_whole(counting)
        snapshot = counting.snapshot()
        (first,) = [guest for guest in snapshot.guests.values() if guest.number == 1]
        growth = resident_bytes() - before
    assert (snapshot.exits, snapshot.overflow, snapshot.overflow_rows) == (1 + 7 * guests, 0, 0)
    assert first.exits == guests + 1
    assert made == guests + 1 - len(snapshot.guests)
    assert len(snapshot.guests) >= alive_at_once
    assert counting.path.stat().st_size == mib * MIB
    assert growth < GROWTH


def test_room_is_made_only_when_it_is_tight_and_of_the_longest_gone_first(tmp_path: Path) -> None:
    """Nobody is forgotten while an eighth is free; then the longest without an exit go first."""
    with Counting(tmp_path) as counting:
        capacity = counting.writer.header().guests_capacity
        for number in range(1, capacity + 1):
            assert counting.writer.make_room(lambda _: False) == 0
            counting.feed(note(number, number), exits(1, guest=number, exit_ns=number))
            counting.writer.flush()
            if counting.writer.header().guests_free < capacity // 8:
                break
        ended = {1, 2, 3, 5, 8, 9, 20, 21, 22, 23, 24, 25}
        gone = counting.writer.make_room(lambda guest: guest.number not in ended)
        left = {guest.number for guest in counting.writer.guests()}
        assert_whole(counting)
    assert gone == 7
    assert set(range(1, number + 1)) - left == {1, 2, 3, 5, 8, 9, 20}


def test_where_all_run_nobody_is_forgotten(tmp_path: Path) -> None:
    """Running guests are kept, however little room there is."""
    with Counting(tmp_path) as counting:
        counting.feed(many_kinds(20_000, 60, 3))
        before = len(counting.writer.guests())
        assert counting.writer.make_room(lambda _: True) == 0
        assert len(counting.writer.guests()) == before


def test_a_guest_runs_as_long_as_its_process(tmp_path: Path) -> None:
    """This process; one with its pid and another start; an ended one; one not announced yet."""

    def guest(tgid: int, started_ticks: int = 0, last_ns: int = 0) -> StatisticsGuest:
        start_ns = started_ticks * 10**9 // os.sysconf("SC_CLK_TCK")
        return StatisticsGuest(0, 1, tgid, start_ns, 0, "", 0, 0, last_ns, 0)

    mine = start(os.getpid())
    assert mine is not None
    now_ns = time.monotonic_ns()
    registry = GuestRegistry(str(tmp_path / "ring.guests"))
    assert is_alive(guest(os.getpid(), mine.ticks), registry)
    assert not is_alive(guest(os.getpid(), mine.ticks + 1), registry)
    assert not is_alive(guest(2**22 + 1, mine.ticks), registry)
    assert is_alive(guest(0, last_ns=now_ns), registry)
    assert not is_alive(guest(0, last_ns=now_ns - 2 * UNKNOWN_NS), registry)
