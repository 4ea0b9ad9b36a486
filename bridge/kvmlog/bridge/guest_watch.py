# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that come and go while the bridge runs: into its book, its file, and the filter."""

from __future__ import annotations

import time
from typing import Final

from kvmlog.bridge.engine import Engine
from kvmlog.bridge.guests.events import VmEvents

# Events may be lost, and none comes of a VM that was handed to another process.
SCAN_S: Final = 10.0
# The file is written no more often than that.
SAVE_S: Final = 1.0


class GuestWatch:
    """Keeps the engine's book of guests up to date, and the source on those that were chosen.

    `events`: for the selector, with handle() for when it is readable; None where the kernel has
    none: then, while a filter is on, it looks around every second.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._book = engine.book
        self.events = VmEvents.open()
        self._scanned_s = self._saved_s = time.monotonic()
        self._book.scan()
        self._book.refresh()
        self._book.save()

    def fileno(self) -> int:
        """Of the events, which have to be there."""
        assert self.events is not None
        return self.events.fileno()

    def handle(self) -> None:
        """Takes KVM's events: a guest is known before its first exit."""
        assert self.events is not None
        for pid in self.events.handle():
            self._book.appeared(pid)
        self._engine.match()
        self.save()

    def tick(self) -> None:
        """Once a second: who has ended, and, while a filter is on, who is new."""
        since_s = time.monotonic() - self._scanned_s
        if self._engine.wanted.choice is not None and (self.events is None or since_s >= SCAN_S):
            self._scanned_s = time.monotonic()
            self._book.scan()
        self._book.refresh()
        self._engine.match()
        self.save()

    def save(self) -> None:
        """Writes the file where something has changed, at once or with the next tick."""
        if time.monotonic() - self._saved_s >= SAVE_S and self._book.save():
            self._saved_s = time.monotonic()

    def close(self) -> None:
        """For the last time: what is known stays for who reads the ring."""
        if self.events is not None:
            self.events.close()
        self._book.refresh()
        self._book.save()
