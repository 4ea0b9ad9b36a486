# SPDX-License-Identifier: GPL-2.0-or-later
"""Eviction from the statistics: who may be forgotten to make room, and who may not."""

from __future__ import annotations

from pathlib import Path

from kvmlog.ring.statistics.reader import By, StatisticsGuest
from tests.support.statistics_feed import Counting, counted, exits, note

PROCESS = 500


def switch_on_with_vms(counting: Counting, first: int, *tgids: int) -> None:
    """Switches tracing on; each of the processes announces a VM, numbered from `first` on."""
    counting.writer.begin(fresh=False)
    for number, tgid in enumerate(tgids, first):
        counting.feed(note(number, tgid), exits(10, guest=number, exit_ns=number))


def test_a_process_of_several_vms_does_not_fill_the_table(tmp_path: Path) -> None:
    """It has new guests each time tracing is switched on; those of earlier times make room."""
    with Counting(tmp_path) as counting:
        for number in range(1, 401, 3):
            switch_on_with_vms(counting, number, PROCESS, PROCESS, PROCESS)
            counting.writer.make_room(lambda _: True)
        snapshot = counting.snapshot()
        numbers = {guest.number for guest in snapshot.guests.values()}
    assert snapshot.overflow == 0
    assert snapshot.exits == counted(snapshot)
    assert {number, number + 1, number + 2} <= numbers


def test_of_several_vms_no_single_one_is_left_to_be_taken_for_another(tmp_path: Path) -> None:
    """Room is tight and the process has switched all its VMs: two of the earlier ones stay."""
    with Counting(tmp_path) as counting:
        capacity = counting.writer.header().guests_capacity
        switch_on_with_vms(counting, 1, *[PROCESS] * 4, *range(1, capacity - 3))
        counting.writer.begin(fresh=False)
        assert counting.writer.make_room(lambda _: True) == 2
        counting.feed(note(1_000, PROCESS), exits(5, guest=1_000))
        snapshot = counting.snapshot()
        of_process = [guest for guest in snapshot.guests.values() if guest.tgid == PROCESS]
    assert sorted(guest.exits for guest in of_process) == [5, 10, 10]


def test_a_guest_that_is_announced_while_room_is_made_stays(tmp_path: Path) -> None:
    """It seemed to have ended when the table was looked at; then it turned out to run."""
    with Counting(tmp_path) as counting:
        capacity = counting.writer.header().guests_capacity
        counting.feed(*(exits(1, guest=number) for number in range(1, capacity + 1)))
        counting.writer.flush()

        def announce_meanwhile(guest: StatisticsGuest) -> bool:
            if guest.number == 1:
                counting.feed(note(1, PROCESS))
            return False

        gone = counting.writer.make_room(announce_meanwhile)
        snapshot = counting.snapshot()
    assert gone == snapshot.forgotten > 0
    assert [guest.exits for guest in snapshot.guests.values() if guest.tgid == PROCESS] == [1]
    assert snapshot.rows(By.GUEST)[0].count == 1
