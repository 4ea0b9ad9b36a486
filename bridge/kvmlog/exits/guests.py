# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of guests for those who read records: the bridge's file of guests (docs/guests.md)."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlog.bridge.guests.entry import Guest

__all__ = ["Guest", "GuestNames"]


class GuestNames:
    """The guests of a ring. A missing file is one without guests; `problem` says what is wrong."""

    def __init__(self, ring_path: str) -> None:
        self.path = f"{ring_path}.guests"
        self.problem: str | None = None

    def reload(self) -> bool:
        """Reads the file again if it is another one than before; whether it was."""
        raise NotImplementedError

    def of_number(self, number: int, ns: int) -> Guest | None:
        """Whose record this is: its guest number, and its time (CLOCK_MONOTONIC, ns).

        Best is the time it was written, exit_ns + total_ns: an exit may begin before its guest is
        announced, but is never written before.
        """
        raise NotImplementedError

    def of_process(self, tgid: int, start_boottime_ns: int) -> Guest | None:
        """The guest of a process; None for one that the file does not have, or start 0."""
        raise NotImplementedError

    def matching(self, words: Sequence[str]) -> list[Guest]:
        """Guests, running and ended, that any word matches (as GuestBook.find); GuestError."""
        raise NotImplementedError

    def guests(self) -> list[Guest]:
        """All of the file, oldest first."""
        raise NotImplementedError
