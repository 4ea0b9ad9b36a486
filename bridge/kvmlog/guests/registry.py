# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's registry of guests (docs/guests.md). Not thread-safe."""

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
from kvmlog.guests.proc import NOTHING, Held, Process, held_by, read_process, vm_processes
from kvmlog.guests.sanitize import clean
from kvmlog.guests.starting import StartingGuests
from kvmlog.ring.reader import boot_id
from kvmlog.ring.records import GuestRecord
from kvmlog.util.log import log
from kvmlog.util.process import start

TICK_NS: Final = 10**9 // os.sysconf("SC_CLK_TCK")
_UNKNOWN: Final = Identity("other")


class _Key(NamedTuple):
    """Identity of a process: no later one has the same pid and start."""

    pid: int
    start_ticks: int
    # Where the start is unknown, each announcement counts as a process of its own.
    ns: int = 0


class GuestRegistry:
    """The running guests and the last ones that ended, kept in the file `path`.

    A guest is a process that holds a VM and a vCPU: one that only made a VM becomes a guest with
    its first vCPU or its first exit, and a guest ends with its VM or its process. An existing file
    of this boot is continued, any other is replaced. root: mount point of proc.
    """

    def __init__(self, path: str, *, root: str = "/proc") -> None:
        self.path = path
        self._root = root
        self._boot_id = boot_id()
        self._saved = store.identity(path)  # the file that is ours
        self._running: dict[_Key, Guest] = {}
        self._held: dict[_Key, Held] = {}  # of running guests, where it was looked at
        self._starting: StartingGuests[_Key] = StartingGuests()
        # In the order of their ends; the first one is forgotten first.
        self._ended: dict[_Key, Guest] = {}
        # All guests here that were ever given a number.
        self._holders: dict[int, set[_Key]] = {}
        self._logged = ""
        known = store.load(path, self._boot_id)
        self._changed = known is None
        for guest in known or ():
            self._restore(guest)
        self.refresh()

    def keep(self) -> str:
        """Have the file made anew that was removed or replaced, by the next save().

        Return why its name cannot be had, a sentence, or "".
        """
        if store.identity(self.path) == self._saved:
            return ""
        foreign = store.foreign(self.path)
        if foreign:
            return (
                f"{self.path}: another file has the name of the file of guests ({foreign}); it is "
                "written again when that one is removed"
            )
        self._changed = True
        return ""

    def announce(self, record: GuestRecord) -> None:
        """Register the guest that the source announces: its number and its process."""
        process = read_process(record.tgid, self._root)
        if process is not None and _is_record_of(record, process):
            key = self._add_running(process)
        else:
            key = self._add_gone(record)
        self._add_number(key, record.guest, record.ns)
        if key in self._running:
            # It may have closed its VM since.
            self._check(key)

    def appeared(self, pid: int) -> None:
        """Take in a process that has created a VM, before the source sees it (VmEvents)."""
        process = read_process(pid, self._root)
        if process is not None:
            self._take(process, held_by(pid, self._root))

    def closed(self, pid: int) -> None:
        """Take in a process of which a VM has ended (VmEvents): others of it may run."""
        found = start(pid, self._root)
        if found is not None and (key := _Key(pid, found.ticks)) in self._running:
            self._check(key)

    def scan(self) -> None:
        """Take in all processes that hold a VM now."""
        for pid, held in vm_processes(self._root).items():
            process = read_process(pid, self._root)
            if process is not None:
                self._take(process, held)

    def refresh(self) -> None:
        """Find the guests that have ended, with their process or before it, and those that began.

        Of a guest that runs on, only stat and two descriptors are read.
        """
        for key in list(self._running):
            self._check(key)
        for key in self._starting.alive():
            if not self._lives(key):
                self._starting.end(key)
                continue
            held = held_by(key.pid, self._root)
            if held is None or held.vm is not None:
                self._starting.keep(key)
            if held is not None and held.runs_guest:
                self.appeared(key.pid)
        self._starting.expire()

    def save(self) -> bool:
        """Write the file if anything has changed since; return whether it was written.

        A failure is logged once, and the next call tries again.
        """
        if self.keep() or not self._changed:
            return False
        try:
            store.save(self.path, self._boot_id, self.guests())
        except OSError as error:
            self._log_once(f"{self.path}: guests cannot be saved ({error.strerror})")
            return False
        self._saved = store.identity(self.path)
        self._changed = False
        self._logged = ""
        return True

    def find(self, words: Sequence[str]) -> dict[str, list[Guest]]:
        """Return the running guests that each word matches (kvmlog.guests.lookup).

        GuestError when a word matches none.
        """
        self.refresh()
        index = GuestIndex(self.traceable(), "running")
        if not all(index.matching(word) for word in words):
            # It may have had no exits yet, on a kernel that does not tell of new VMs.
            self.scan()
            index = GuestIndex(self.traceable(), "running")
        return index.resolve(words)

    def traceable(self) -> list[Guest]:
        """Return the guests that run, and those that may begin to: no exit of them is missed."""
        return [*self._running.values(), *self._starting.alive().values()]

    def has_ended(self, pid: int, start_ticks: int) -> bool:
        """Return whether this process is known as a guest that has ended; it may live on."""
        return _Key(pid, start_ticks) in self._ended

    def running(self) -> list[Guest]:
        """Return the guests that have not ended, oldest first."""
        return list(self._running.values())

    def guests(self) -> list[Guest]:
        """Return all guests: those that have ended, in that order, then those that run."""
        return [*self._ended.values(), *self._running.values()]

    def _take(self, process: Process, held: Held | None) -> None:
        """Register a live process as what it is: a guest, one that has ended, or may be soon.

        held: None where it may not be looked at; then only an exit makes it a guest.
        """
        key = _Key(process.pid, process.start_ticks)
        if held is not None and held.runs_guest:
            self._add_running(process)
            self._held[key] = held
            return
        if key in self._running:
            self._check(key)
        if key not in self._running:
            self._starting.add(key, _guest_of(process, time.time_ns()))

    def _check(self, key: _Key) -> None:
        """End a running guest whose process is gone, or holds no VM with a vCPU any more."""
        if not self._lives(key):
            self._end(key)
            return
        held = held_by(key.pid, self._root, self._held.get(key, NOTHING))
        if held is None:
            return
        if held.runs_guest:
            self._held[key] = held
        else:
            self._end(key)

    def _lives(self, key: _Key) -> bool:
        found = start(key.pid, self._root)
        return found is not None and found.alive and found.ticks == key.start_ticks

    def _add_running(self, process: Process) -> _Key:
        """Register a live process: a new guest, or one that is known, perhaps as ended."""
        key = _Key(process.pid, process.start_ticks)
        began = self._starting.pop(key)
        known = self._running.get(key) or self._ended.pop(key, None) or began
        if known is None:
            guest = _guest_of(process, time.time_ns())
        elif not process.command_line:
            # It is about to end: its memory, which holds the command line, is gone.
            guest = replace(known, ended_realtime_ns=None)
        else:
            guest = replace(_guest_of(process, known.first_seen_realtime_ns), numbers=known.numbers)
        if guest != self._running.get(key):
            self._running[key] = guest
            self._changed = True
        if len(self._running) > RUNNING_MOST:
            self._log_once(
                f"more than {RUNNING_MOST} guests run; the oldest are kept as if they had ended"
            )
            self._end(next(iter(self._running)))
        return key

    def _add_gone(self, record: GuestRecord) -> _Key:
        """Register a process that ended before it could be read, with what the record says."""
        ticks = record.start_boottime_ns // TICK_NS
        key = _Key(record.tgid, ticks, 0 if ticks else record.ns)
        known = self._starting.pop(key)
        if key in self._running:
            self._end(key)
        elif key not in self._ended:
            now_ns = time.time_ns()
            comm = clean(record.comm.split(b"\0", 1)[0])
            guest = known or _guest(key, comm, _UNKNOWN, now_ns)
            self._add_ended(key, replace(guest, ended_realtime_ns=now_ns))
        return key

    def _end(self, key: _Key) -> None:
        self._held.pop(key, None)
        self._add_ended(key, replace(self._running.pop(key), ended_realtime_ns=time.time_ns()))

    def _add_ended(self, key: _Key, guest: Guest) -> None:
        self._ended[key] = guest
        self._changed = True
        if len(self._ended) > ENDED_MOST:
            oldest = self._ended.pop(next(iter(self._ended)))
            for number, ns in oldest.numbers:
                self._forget(number, ns)

    def _add_number(self, key: _Key, number: int, ns: int) -> None:
        guest = self._table(key)[key]
        if (number, ns) in guest.numbers:
            return
        numbers = sorted((*guest.numbers, (number, ns)), key=lambda given: given[1])
        self._add_holders(key, numbers)
        self._table(key)[key] = replace(guest, numbers=tuple(numbers[-NUMBERS_MOST:]))
        for old_number, old_ns in numbers[:-NUMBERS_MOST]:
            self._forget(old_number, old_ns)
        self._changed = True

    def _add_holders(self, key: _Key, numbers: Iterable[tuple[int, int]]) -> None:
        for number, _ in numbers:
            self._holders.setdefault(number, set()).add(key)

    def _forget(self, number: int, ns: int) -> None:
        """Forget that the number was given at that time, and all that was before.

        Otherwise the records of the forgotten guest would be taken for those of an earlier one that
        had the number.
        """
        for holder in list(self._holders.get(number, ())):
            table = self._table(holder)
            guest = table.get(holder)
            numbers = guest.numbers if guest else ()
            left = tuple(pair for pair in numbers if pair[0] != number or pair[1] > ns)
            if guest and left != numbers:
                table[holder] = replace(guest, numbers=left)
            if all(pair[0] != number for pair in left):
                self._holders[number].discard(holder)
        if not self._holders.get(number, True):
            del self._holders[number]

    def _table(self, key: _Key) -> dict[_Key, Guest]:
        return self._running if key in self._running else self._ended

    def _restore(self, guest: Guest) -> None:
        """Register an entry of the file."""
        ns = guest.numbers[0][1] if guest.numbers else 0
        key = _Key(guest.pid, guest.start_ticks, 0 if guest.start_ticks else ns)
        self._add_holders(key, guest.numbers)
        if guest.ended_realtime_ns is None:
            self._running[key] = guest
        else:
            self._add_ended(key, guest)

    def _log_once(self, sentence: str) -> None:
        if sentence != self._logged:
            log(sentence)
        self._logged = sentence


def _is_record_of(record: GuestRecord, process: Process) -> bool:
    """Return whether the record is of this process, and not of an earlier one with its pid."""
    if record.start_boottime_ns:
        return record.start_boottime_ns // TICK_NS == process.start_ticks
    # Without BTF the source cannot read the start: a process that is older than the record had the
    # pid then. The record's clock stops while the host sleeps, that of the start does not.
    slept_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return process.start_ticks * TICK_NS - slept_ns <= record.ns


def _guest_of(process: Process, first_seen_ns: int) -> Guest:
    identity = identify(process.command_line, process.cgroup, process.exe)
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
