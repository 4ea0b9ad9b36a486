# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's memory of guests (docs/guests.md)."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlog.bridge import wire
from kvmlog.bridge.guests.entry import Guest


class GuestBook:
    """All guests that run, and the last that have ended, kept in the file `path`."""

    def __init__(self, path: str, *, root: str = "/proc") -> None:
        self.path = path
        self._root = root

    def announce(self, record: wire.GuestRecord) -> None:
        """The source saw a guest for the first time: its number, and whose it is."""
        raise NotImplementedError

    def appeared(self, pid: int) -> None:
        """A process has made a VM (VmEvents, scan): known before the source saw it."""
        raise NotImplementedError

    def scan(self) -> None:
        """All processes that hold a VM now."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Marks the guests whose process is gone as ended."""
        raise NotImplementedError

    def save(self) -> bool:
        """Writes the file if anything has changed since; whether it did."""
        raise NotImplementedError

    def find(self, wanted: Sequence[str]) -> dict[str, list[int]]:
        """Per wanted word the tgids of the running guests that it matches.

        A word is a name, a UUID (any case, with or without dashes) or a pid; several guests may
        match. GuestError when a word matches none.
        """
        raise NotImplementedError

    def running(self) -> list[Guest]:
        """All guests that have not ended, oldest first."""
        raise NotImplementedError
