# SPDX-License-Identifier: GPL-2.0-or-later
"""Labels of guests, their names in the width of a column; and the guests that a reader shows.

A record has only the number that the source gave its guest, and numbers begin again when the source
is loaded again. The bridge's file of guests says which guest has a number, and so do the stream's
records of type GUEST, which are ahead of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from kvmlog.guests.names import Guest, GuestList
from kvmlog.ring.filter import GuestTime
from kvmlog.ring.records import AnyRecord, GuestRecord, Record

Process: TypeAlias = tuple[int, int]  # pid, start in clock ticks since boot

WIDTH: Final = 16

_CUT: Final = "…"
# Exits on other CPUs may be slightly earlier than the announcement of their guest.
_SLACK_NS: Final = 1_000_000_000
# Limit of the announcements kept, since a stream may be followed for months.
_ANNOUNCED_MOST: Final = 4_096
_MOST_U32: Final = 2**32 - 1
_MOST_U64: Final = 2**64 - 1


class Label(NamedTuple):
    """The label of a guest, at most WIDTH characters, and the guest."""

    text: str
    guest: Guest


class GuestLabels:
    """Labels for records that are read in pieces; pass each piece to learn() first."""

    def __init__(self, names: GuestList) -> None:
        self.names = names
        self._announced: dict[tuple[int, int], GuestRecord] = {}  # (number, ns)
        self._by_number: dict[int, list[GuestRecord]] = {}  # of each number, by time
        self._several: set[tuple[int, int]] = set()  # processes with more than one VM at once

    def learn(self, records: Iterable[AnyRecord]) -> None:
        """Take note of announcements, and of processes with more than one VM."""
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
        """Return the guest of a record; None where it is unknown, or the record has none."""
        if isinstance(record, GuestRecord):
            return self._of_announcement(record)
        if not isinstance(record, Record):
            return None
        return self._of_number(record.guest, record.exit_ns + record.total_ns)

    def times(self, processes: Collection[Process]) -> list[GuestTime]:
        """Return when which numbers belong to these processes, sorted.

        guest() of a record is one of them exactly when the record was written in one of these times
        of its number.
        """
        numbers = {
            number
            for guest in self.names.guests()
            if _key(guest) in processes
            for number, _ in guest.numbers
        }
        numbers |= {announced.guest for announced in self._announced.values()}
        return [
            one
            for number in sorted(numbers)
            if number <= _MOST_U32
            for one in self._times_of(number, processes)
        ]

    def label(self, record: AnyRecord) -> Label | None:
        """Return the label of a record's guest; None as for guest().

        The number follows the name where a process has more than one VM at once. A name that is too
        long is cut, "comm:pid" within comm.
        """
        guest = self.guest(record)
        if guest is None:
            return None
        end = f"#{record.guest}" if _key(guest) in self._several else ""
        name = guest.name
        if not guest.named and ":" in name:
            name, pid = name.rsplit(":", 1)
            end = f":{pid}{end}"
        width = WIDTH - len(end)
        return Label((name if len(name) <= width else name[: width - 1] + _CUT) + end, guest)

    def _of_number(self, number: int, ns: int) -> Guest | None:
        """Return the guest of the exits of a number that were written at this time."""
        filed = self.names.of_number(number, ns)
        announced = self._announcement(number, ns)
        if announced is None or (
            filed is not None and _announced_ns(filed, number, ns) >= announced.ns
        ):
            return filed
        return self._of_announcement(announced)

    def spans(self, number: int) -> list[tuple[int, Guest | None]]:
        """Return who has a number from which time on (CLOCK_MONOTONIC, ns), the first from 0.

        guest() of an exit is the last one whose time is not after that of its writing.
        """
        # Between two of these times a number keeps its guest.
        turns = {at - _SLACK_NS for at in self._announced_at(number)}
        edges = sorted({0, *(max(0, at) for at in turns | set(self.names.turns_ns(number)))})
        return [(from_ns, self._of_number(number, from_ns)) for from_ns in edges]

    def _times_of(self, number: int, processes: Collection[Process]) -> Iterator[GuestTime]:
        spans = self.spans(number)
        ends = [from_ns for from_ns, _ in spans[1:]]
        for (from_ns, guest), next_ns in zip(spans, [*ends, _MOST_U64 + 1], strict=True):
            if guest is not None and _key(guest) in processes:
                yield GuestTime(number, from_ns, next_ns - 1)

    def _announced_at(self, number: int) -> Iterator[int]:
        return (record.ns for record in self._by_number.get(number, ()))

    def _announce(self, record: GuestRecord) -> None:
        key = (record.guest, record.ns)
        if key in self._announced:
            return
        if len(self._announced) >= _ANNOUNCED_MOST:
            oldest = self._announced.pop(next(iter(self._announced)))
            self._by_number[oldest.guest].remove(oldest)
        self._announced[key] = record
        of_number = self._by_number.setdefault(record.guest, [])
        of_number.append(record)
        of_number.sort(key=lambda announced: announced.ns)

    def _announcement(self, number: int, ns: int) -> GuestRecord | None:
        """Return the stream's announcement that holds for a number at a time."""
        before = (r for r in reversed(self._by_number.get(number, ())) if r.ns <= ns + _SLACK_NS)
        return next(before, None)

    def _of_announcement(self, record: GuestRecord) -> Guest | None:
        guest = self.names.of_process(record.tgid, record.start_boottime_ns)
        if guest is not None:
            return guest
        # The BPF source does not always know when the process was started.
        filed = self.names.of_number(record.guest, record.ns)
        return filed if filed is not None and filed.pid == record.tgid else None


def _key(guest: Guest) -> Process:
    return guest.pid, guest.start_ticks


def _announced_ns(guest: Guest, number: int, ns: int) -> int:
    known = (at for one, at in guest.numbers if one == number and at <= ns + _SLACK_NS)
    return max(known, default=-1)


def _has_another(guest: Guest, record: Record) -> bool:
    """Return whether another VM of the process was announced while this one goes on.

    When tracing is switched on again a VM gets another number, and no more exits under the old one.
    """
    own_ns = _announced_ns(guest, record.guest, record.exit_ns)
    return own_ns >= 0 and any(
        number != record.guest and own_ns < at <= record.exit_ns for number, at in guest.numbers
    )


class GuestView:
    """Labels of guests, and a choice among them.

    words: names, UUIDs or pids of the guests to show, empty: all (kvmlog.guests.lookup). GuestError
    when a word matches none.
    """

    def __init__(self, names: GuestList, words: Sequence[str] = ()) -> None:
        self._words = tuple(words)
        self._names = names
        self.labels = GuestLabels(self._names)
        self._chosen = _keys(self._names.matching(self._words))

    def reload(self) -> None:
        """Take in new guests: they get labels, and are shown if a word matches them."""
        if self._names.reload():
            # The file forgets guests that ended long ago; their words are no mistake for that.
            self._chosen = _keys(self._names.matching(self._words, accepted=self._words))

    def learn(self, records: Iterable[AnyRecord]) -> None:
        """Take note of records that are to be shown (GuestLabels.learn)."""
        self.labels.learn(records)

    def times(self) -> list[GuestTime] | None:
        """Return when which guest numbers are chosen, None for all: shows(), of exits, for C."""
        return self.labels.times(self._chosen) if self._words else None

    def numbers(self) -> frozenset[int] | None:
        """Return the guest numbers that chosen guests have or had, None for all."""
        times = self.times()
        return None if times is None else frozenset(one.guest for one in times)

    def shows(self, record: AnyRecord) -> bool:
        """Return whether a record is a chosen guest's, or no guest's, as losses and clocks are."""
        if not self._words or not isinstance(record, Record | GuestRecord):
            return True
        guest = self.labels.guest(record)
        return guest is not None and (guest.pid, guest.start_ticks) in self._chosen


def _keys(guests: Iterable[Guest]) -> frozenset[tuple[int, int]]:
    return frozenset((guest.pid, guest.start_ticks) for guest in guests)
