# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that made a VM and run no guest yet: most get a vCPU within a moment, some never do.

libvirt and capability checks make a VM only to ask what KVM can do. A process that is gone stays a
while: its first exit, which makes it a guest, may be read after its end, and then its name is known
here only. Not thread-safe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from kvmlog.guests.model import Guest

# KVM tells of a VM before its descriptor exists, and a busy host takes its time.
GRACE_S: Final = 2.0
# Records wait for the source's flush, and for the bridge.
KEPT_S: Final = 10.0
# Anybody who may use KVM can make so many. The oldest are forgotten first: an exit or a scan finds
# them all the same.
STARTING_MOST: Final = 512

_Key = TypeVar("_Key", bound=Hashable)


@dataclass
class _Entry:
    guest: Guest  # as it would be registered
    until_s: float  # forgotten then
    alive: bool = True


class StartingGuests(Generic[_Key]):
    """What is known of them, by the key of the process; each is forgotten unless it is kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[_Key, _Entry] = {}

    def add(self, key: _Key, guest: Guest) -> None:
        """Remember a process that has made a VM."""
        self._entries.pop(key, None)
        self._entries[key] = _Entry(guest, self._clock() + GRACE_S)
        if len(self._entries) > STARTING_MOST:
            del self._entries[next(iter(self._entries))]

    def pop(self, key: _Key) -> Guest | None:
        """Forget a process, which has become a guest, and return what is known of it."""
        entry = self._entries.pop(key, None)
        return None if entry is None else entry.guest

    def alive(self) -> dict[_Key, Guest]:
        """Return those whose process had not ended when it was last looked at."""
        return {key: entry.guest for key, entry in self._entries.items() if entry.alive}

    def keep(self, key: _Key) -> None:
        """Note that the process holds a VM, or may."""
        self._entries[key].until_s = self._clock() + GRACE_S

    def end(self, key: _Key) -> None:
        """Note that the process is gone: it is remembered for a while."""
        entry = self._entries[key]
        entry.alive = False
        entry.until_s = self._clock() + KEPT_S

    def expire(self) -> None:
        """Forget those whose time is over."""
        now_s = self._clock()
        for key, entry in list(self._entries.items()):
            if now_s >= entry.until_s:
                del self._entries[key]
