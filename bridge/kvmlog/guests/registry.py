# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's memory of guests (docs/guests.md). Not for several threads at once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from kvmlog.guests import store
from kvmlog.guests.identity import Identity, identify
from kvmlog.guests.lookup import GuestIndex
from kvmlog.guests.model import ENDED_MOST, NUMBERS_MOST, RUNNING_MOST, Guest
from kvmlog.guests.proc import Process, read_process, vm_processes
from kvmlog.guests.sanitize import clean
from kvmlog.ring.reader import boot_id
from kvmlog.ring.records import GuestRecord
from kvmlog.util.log import log
from kvmlog.util.process import start

TICK_NS: Final = 10**9 // os.sysconf("SC_CLK_TCK")
_NOBODY: Final = Identity("other")


class _Key(NamedTuple):
    """Which process: no later one has the same pid and start."""

    pid: int
    start_ticks: int
    # Where the start is not known, each announcement stands for a process of its own.
    ns: int = 0


class GuestRegistry:
    """All guests that run, and the last that have ended, kept in the file `path`.

    An existing file of this boot goes on; any other is begun anew. root: where proc is.
    """

    def __init__(self, path: str, *, root: str = "/proc") -> None:
        self.path = path
        self._root = root
        self._boot_id = boot_id()
        self._running: dict[_Key, Guest] = {}
        # In the order of their ends: the first one goes first.
        self._ended: dict[_Key, Guest] = {}
        # Who was ever given a number, while they are here.
        self._holders: dict[int, set[_Key]] = {}
        self._complained = ""
        known = store.load(path, self._boot_id)
        self._changed = known is None
        for guest in known or ():
            self._put_back(guest)
        self.refresh()

    def announce(self, record: GuestRecord) -> None:
        """The source saw a guest for the first time: its number, and whose it is."""
        process = read_process(record.tgid, self._root)
        if process is not None and _is_of(record, process):
            key = self._met(process)
        else:
            key = self._gone(record)
        self._number(key, record.guest, record.ns)

    def appeared(self, pid: int) -> None:
        """A process has made a VM (VmEvents, scan): known before the source saw it."""
        process = read_process(pid, self._root)
        if process is not None:
            self._met(process)

    def scan(self) -> None:
        """All processes that hold a VM now."""
        for pid in vm_processes(self._root):
            self.appeared(pid)

    def refresh(self) -> None:
        """Marks the guests whose process is gone as ended."""
        for key in list(self._running):
            found = start(key.pid, self._root)
            if found is None or not found.alive or found.ticks != key.start_ticks:
                self._end(key)

    def save(self) -> bool:
        """Writes the file if anything has changed since; whether it did.

        What cannot be written is logged once, and tried again by the next call.
        """
        if not self._changed:
            return False
        try:
            store.save(self.path, self._boot_id, self.guests())
        except OSError as error:
            self._complain(f"{self.path}: guests cannot be saved ({error.strerror})")
            return False
        self._changed = False
        self._complained = ""
        return True

    def find(self, words: Sequence[str]) -> dict[str, list[Guest]]:
        """Return the running guests that each word matches (kvmlog.guests.lookup).

        GuestError when a word matches none.
        """
        self.refresh()
        index = GuestIndex(self.running(), "running")
        if not all(index.matching(word) for word in words):
            # It may have had no exits yet, on a kernel that does not tell of new VMs.
            self.scan()
            index = GuestIndex(self.running(), "running")
        return index.resolve(words)

    def running(self) -> list[Guest]:
        """All guests that have not ended, oldest first."""
        return list(self._running.values())

    def guests(self) -> list[Guest]:
        """All guests: those that have ended, in that order, then those that run."""
        return [*self._ended.values(), *self._running.values()]

    def _met(self, process: Process) -> _Key:
        """A process that is alive: a new guest, or one that is known, perhaps as ended."""
        key = _Key(process.pid, process.start_ticks)
        known = self._running.get(key) or self._ended.pop(key, None)
        if known is None:
            guest = _guest_of(process, time.time_ns())
        elif not process.command_line:
            # About to end: its memory, where the words are, is gone.
            guest = replace(known, ended_realtime_ns=None)
        else:
            guest = replace(_guest_of(process, known.first_seen_realtime_ns), numbers=known.numbers)
        if guest != self._running.get(key):
            self._running[key] = guest
            self._changed = True
        if len(self._running) > RUNNING_MOST:
            self._complain(
                f"more than {RUNNING_MOST} guests run; the oldest are kept as if they had ended"
            )
            self._end(next(iter(self._running)))
        return key

    def _gone(self, record: GuestRecord) -> _Key:
        """A process that ended before it could be read; what the record says has to do."""
        ticks = record.start_boottime_ns // TICK_NS
        key = _Key(record.tgid, ticks, 0 if ticks else record.ns)
        if key in self._running:
            self._end(key)
        elif key not in self._ended:
            now_ns = time.time_ns()
            guest = _guest(key, clean(record.comm.split(b"\0", 1)[0]), _NOBODY, now_ns)
            self._bury(key, replace(guest, ended_realtime_ns=now_ns))
        return key

    def _end(self, key: _Key) -> None:
        self._bury(key, replace(self._running.pop(key), ended_realtime_ns=time.time_ns()))

    def _bury(self, key: _Key, guest: Guest) -> None:
        self._ended[key] = guest
        self._changed = True
        if len(self._ended) > ENDED_MOST:
            oldest = self._ended.pop(next(iter(self._ended)))
            for number, ns in oldest.numbers:
                self._forget(number, ns)

    def _number(self, key: _Key, number: int, ns: int) -> None:
        guest = self._shelf(key)[key]
        if (number, ns) in guest.numbers:
            return
        numbers = sorted((*guest.numbers, (number, ns)), key=lambda given: given[1])
        self._hold(key, numbers)
        self._shelf(key)[key] = replace(guest, numbers=tuple(numbers[-NUMBERS_MOST:]))
        for old_number, old_ns in numbers[:-NUMBERS_MOST]:
            self._forget(old_number, old_ns)
        self._changed = True

    def _hold(self, key: _Key, numbers: Iterable[tuple[int, int]]) -> None:
        for number, _ in numbers:
            self._holders.setdefault(number, set()).add(key)

    def _forget(self, number: int, ns: int) -> None:
        """Who was given the number then is no longer known.

        Whoever had the number before it must not have it back: its records would be taken for
        theirs. So theirs end here too.
        """
        for holder in list(self._holders.get(number, ())):
            shelf = self._shelf(holder)
            guest = shelf.get(holder)
            numbers = guest.numbers if guest else ()
            left = tuple(pair for pair in numbers if pair[0] != number or pair[1] > ns)
            if guest and left != numbers:
                shelf[holder] = replace(guest, numbers=left)
            if all(pair[0] != number for pair in left):
                self._holders[number].discard(holder)
        if not self._holders.get(number, True):
            del self._holders[number]

    def _shelf(self, key: _Key) -> dict[_Key, Guest]:
        return self._running if key in self._running else self._ended

    def _put_back(self, guest: Guest) -> None:
        """An entry of the file."""
        ns = guest.numbers[0][1] if guest.numbers else 0
        key = _Key(guest.pid, guest.start_ticks, 0 if guest.start_ticks else ns)
        self._hold(key, guest.numbers)
        if guest.ended_realtime_ns is None:
            self._running[key] = guest
        else:
            self._bury(key, guest)

    def _complain(self, sentence: str) -> None:
        if sentence != self._complained:
            log(sentence)
        self._complained = sentence


def _is_of(record: GuestRecord, process: Process) -> bool:
    """Whether the record is of this process, and not of an earlier one with its pid."""
    if record.start_boottime_ns:
        return record.start_boottime_ns // TICK_NS == process.start_ticks
    # Without BTF the source cannot read the start: whoever has the pid since before has had it
    # then. The record's clock stands still while the host sleeps, that of the start does not.
    slept_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return process.start_ticks * TICK_NS - slept_ns <= record.ns


def _guest_of(process: Process, first_seen_ns: int) -> Guest:
    identity = identify(process.command_line, process.cgroup)
    key = _Key(process.pid, process.start_ticks)
    return _guest(key, clean(process.comm), identity, first_seen_ns)


def _guest(key: _Key, comm: str, identity: Identity, first_seen_ns: int) -> Guest:
    return Guest(
        pid=key.pid,
        start_ticks=key.start_ticks,
        comm=comm,
        kind=identity.kind,
        name=identity.name or f"{comm}:{key.pid}",
        named=identity.name is not None,
        uuid=identity.uuid,
        aliases=identity.aliases,
        cgroup=identity.cgroup,
        container=identity.container,
        pod=identity.pod,
        first_seen_realtime_ns=first_seen_ns,
    )
