# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest is called in a line: its name, in the width of a column.

A record has only the number that the source gave the guest; numbers begin again when the source is
loaded again. What they mean stands in the bridge's file of guests and, as records of type GUEST, in
the stream, which is ahead of the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from kvmlog.guests.names import Guest, GuestList
from kvmlog.ring.records import AnyRecord, GuestRecord, Record

WIDTH: Final = 16

_CUT: Final = "…"
# Exits of other CPUs may be a hair earlier than the announcement of their guest.
_SLACK_NS: Final = 1_000_000_000
# Announcements kept of a stream that is followed for months.
_ANNOUNCED_MOST: Final = 4_096


class Label(NamedTuple):
    """text: at most WIDTH characters."""

    text: str
    guest: Guest


class GuestLabels:
    """Labels for records that are read in pieces; learn() each piece before it is asked for."""

    def __init__(self, names: GuestList) -> None:
        self.names = names
        self._announced: dict[tuple[int, int], GuestRecord] = {}  # (number, ns)
        self._newest: dict[int, list[GuestRecord]] = {}  # of each number, by time
        self._several: set[tuple[int, int]] = set()  # processes with more than one VM at once

    def learn(self, records: Iterable[AnyRecord]) -> None:
        """Takes note of who is announced, and of which processes have more than one VM."""
        exits: list[Record] = []
        for record in records:
            if isinstance(record, GuestRecord):
                self._announce(record)
            elif isinstance(record, Record):
                exits.append(record)
        for record in exits:
            guest = self.guest(record)
            if guest is not None and _has_another(guest, record):
                self._several.add(_key(guest))

    def guest(self, record: AnyRecord) -> Guest | None:
        """Whose record this is; None where it is not known, or it is no guest's."""
        if isinstance(record, GuestRecord):
            return self._of_announcement(record)
        if not isinstance(record, Record):
            return None
        ns = record.exit_ns + record.total_ns
        filed = self.names.of_number(record.guest, ns)
        told = self._told(record.guest, ns)
        if told is None or (
            filed is not None and _announced_ns(filed, record.guest, ns) >= told.ns
        ):
            return filed
        return self._of_announcement(told)

    def label(self, record: AnyRecord) -> Label | None:
        """What to call the record's guest; None as for guest().

        A process with more than one VM at once has the number behind its name. A name that is too
        long loses its end, "comm:pid" that of comm.
        """
        guest = self.guest(record)
        if guest is None:
            return None
        end = f"#{record.guest}" if _key(guest) in self._several else ""
        name = guest.name
        if not guest.named and ":" in name:
            name, pid = name.rsplit(":", 1)
            end = f":{pid}{end}"
        room = WIDTH - len(end)
        return Label((name if len(name) <= room else name[: room - 1] + _CUT) + end, guest)

    def _announce(self, record: GuestRecord) -> None:
        key = (record.guest, record.ns)
        if key in self._announced:
            return
        if len(self._announced) >= _ANNOUNCED_MOST:
            oldest = self._announced.pop(next(iter(self._announced)))
            self._newest[oldest.guest].remove(oldest)
        self._announced[key] = record
        of_number = self._newest.setdefault(record.guest, [])
        of_number.append(record)
        of_number.sort(key=lambda told: told.ns)

    def _told(self, number: int, ns: int) -> GuestRecord | None:
        """The stream's own announcement that holds for a number at a time."""
        before = (r for r in reversed(self._newest.get(number, ())) if r.ns <= ns + _SLACK_NS)
        return next(before, None)

    def _of_announcement(self, told: GuestRecord) -> Guest | None:
        guest = self.names.of_process(told.tgid, told.start_boottime_ns)
        if guest is not None:
            return guest
        # The BPF source does not always know when the process was started.
        filed = self.names.of_number(told.guest, told.ns)
        return filed if filed is not None and filed.pid == told.tgid else None


def _key(guest: Guest) -> tuple[int, int]:
    return guest.pid, guest.start_ticks


def _announced_ns(guest: Guest, number: int, ns: int) -> int:
    known = (at for one, at in guest.numbers if one == number and at <= ns + _SLACK_NS)
    return max(known, default=-1)


def _has_another(guest: Guest, record: Record) -> bool:
    """Whether another VM of the process was announced while this one goes on.

    Switched off and on again a VM gets another number, but has no more exits under the old one.
    """
    own_ns = _announced_ns(guest, record.guest, record.exit_ns)
    return own_ns >= 0 and any(
        number != record.guest and own_ns < at <= record.exit_ns for number, at in guest.numbers
    )
