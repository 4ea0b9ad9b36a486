# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that made a VM: how long each is remembered."""

from __future__ import annotations

from kvmlog.guests import starting
from kvmlog.guests.model import Guest
from kvmlog.guests.starting import StartingGuests

GUEST = Guest(7, 500, "qemu", "qemu", "web7", True)


class Clock:
    """A clock that the test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_who_holds_no_vm_is_forgotten_after_a_while() -> None:
    """KVM tells of a VM a moment before its process holds it; keep() says that it does."""
    clock = Clock()
    waiting: StartingGuests[int] = StartingGuests(clock)
    waiting.add(1, GUEST)
    waiting.add(2, GUEST)
    waiting.expire()
    assert list(waiting.alive()) == [1, 2]
    clock.now_s = starting.GRACE_S / 2
    waiting.keep(2)
    clock.now_s = starting.GRACE_S
    waiting.expire()
    assert waiting.alive() == {2: GUEST}


def test_who_ended_is_remembered_until_its_exits_are_read() -> None:
    """It is no guest that may begin to run; its name is there for whoever asks in time."""
    clock = Clock()
    waiting: StartingGuests[int] = StartingGuests(clock)
    for key in (1, 2):
        waiting.add(key, GUEST)
        waiting.end(key)
    clock.now_s = starting.KEPT_S - 1
    waiting.expire()
    assert waiting.alive() == {}
    assert waiting.pop(1) == GUEST
    assert waiting.pop(1) is None
    clock.now_s = starting.KEPT_S
    waiting.expire()
    assert waiting.pop(2) is None


def test_memory_is_bounded() -> None:
    """The oldest go first."""
    waiting: StartingGuests[int] = StartingGuests()
    for key in range(starting.STARTING_MOST + 2):
        waiting.add(key, GUEST)
    assert list(waiting.alive()) == list(range(2, starting.STARTING_MOST + 2))
