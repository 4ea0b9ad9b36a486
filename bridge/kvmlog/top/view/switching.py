# SPDX-License-Identifier: GPL-2.0-or-later
"""The menu of the switch: what there is to choose for a guest, and for how long.

The bridge has one list of chosen guests and one lease: a command replaces both, so that a guest is
added or taken away by naming all others again. What was asked of sampling stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kvmlog.control.sampling import EVERY_EXIT, Sampling
from kvmlog.guests.model import Guest
from kvmlog.top.model.health import Health
from kvmlog.util import units

LEASES_S: Final = (None, 60, 300, 900, 3_600, 28_800)


@dataclass(frozen=True)
class Command:
    """What is sent to the bridge; vm: empty for all guests."""

    on: bool
    vm: tuple[str, ...] = ()
    for_s: float | None = None
    sampling: Sampling = EVERY_EXIT


@dataclass(frozen=True)
class Choice:
    """A line of the menu; is_lease: its time is chosen with Left and Right."""

    words: str
    command: Command


@dataclass(frozen=True)
class Menu:
    """Choices, the one under the cursor, and the lease for those that switch on."""

    choices: Sequence[Choice]
    at: int = 0
    lease: int = 0

    def moved(self, by: int) -> Menu:
        """Return the menu with another line chosen."""
        return replace(self, at=(self.at + by) % len(self.choices))

    def leased(self, by: int) -> Menu:
        """Return the menu with another time."""
        return replace(self, lease=(self.lease + by) % len(LEASES_S))

    @property
    def command(self) -> Command:
        """What the chosen line does, with the lease."""
        command = self.choices[self.at].command
        return replace(command, for_s=LEASES_S[self.lease]) if command.on else command

    @property
    def lease_words(self) -> str:
        """The lease in words."""
        seconds = LEASES_S[self.lease]
        if seconds is None:
            return "without end"
        return f"for {units.duration(seconds * units.NS_PER_S)}, then off by itself"


def menu_of(health: Health | None, guest: Guest | None, label: str) -> Menu:
    """Return what can be done; guest: the one that was chosen, None: none, or one not known."""
    sampling = health.sampling if health is not None else EVERY_EXIT
    chosen = health.chosen if health is not None else None
    is_on = health is not None and health.on is True
    found: list[Choice] = []
    if guest is not None and guest.ended_realtime_ns is None:
        word = word_of(guest)
        mine = {guest.name, guest.uuid, str(guest.pid), *guest.aliases}
        others = tuple(one for one in chosen or () if one not in mine)
        traced = is_on and chosen is not None and len(others) < len(chosen)
        only = Choice(f"trace only {label}", Command(True, (word,), sampling=sampling))
        if traced and others:
            without = Command(True, others, sampling=sampling)
            found += [Choice(f"no longer trace {label}, only the others", without), only]
        elif traced:
            found.append(only)
        elif is_on and chosen:
            more = Command(True, (*chosen, word), sampling=sampling)
            found += [Choice(f"trace {label} too", more), only]
        else:
            found.append(only)
    found.append(Choice("trace all guests", Command(True, sampling=sampling)))
    found.append(Choice("switch tracing off, for all guests", Command(False)))
    return Menu(found)


def word_of(guest: Guest) -> str:
    """Return what names one guest, after a restart too if it has a UUID."""
    return guest.uuid or (guest.name if guest.named else str(guest.pid))


def done_words(command: Command) -> str:
    """Return what was switched, in a sentence's words."""
    if not command.on:
        return "tracing was switched off"
    what = "all guests" if not command.vm else ", ".join(command.vm)
    until = "" if command.for_s is None else f" for {command.for_s:g} s"
    return f"tracing was switched on: {what}{until}"
