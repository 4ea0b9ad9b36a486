# SPDX-License-Identifier: GPL-2.0-or-later
"""Where to look, and the one VM that a word names there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from kvmlog.control.client import SwitchClient
from kvmlog.guests.model import Guest, GuestError
from kvmlog.guests.names import GuestNames
from kvmlog.ring.statistics.reader import Snapshot as Statistics
from kvmlog.ring.statistics.reader import StatisticsReader
from kvmlog.util.errors import KvmlogError, SwitchError, VmStatsError
from kvmlog.vmstats.snapshot import Snapshot, Vm


class UnknownVmError(KvmlogError):
    """Nobody knows a VM of this name, UUID or pid, or several have it."""


@dataclass(frozen=True)
class Places:
    """Where to look.

    snapshot: reads the collector's newest poll; VmStatsError. find: the one VM of a poll that a
    word names; VmStatsError. copy: makes copies of the statistics, None: the reader does. waiting:
    entered while nothing is computed.
    """

    ring: str
    switch: str
    snapshot: Callable[[], Snapshot]
    find: Callable[[Snapshot, str], Vm]
    copy: Callable[[StatisticsReader], Statistics] | None = None
    waiting: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext


@dataclass(frozen=True)
class Target:
    """The VM as the collector knows it, and its process on this host."""

    name: str
    uuid: str | None
    pid: int | None
    vm: Vm | None

    @property
    def elsewhere(self) -> bool:
        """Return whether it runs on another host than this."""
        return self.vm is not None and self.vm.sample.active and self.pid is None


def find(places: Places, word: str, snapshot: Snapshot | None) -> Target:
    """Return the VM that a word names; UnknownVmError."""
    names = GuestNames(places.ring)
    known: Vm | None = None
    problem: Exception | None = None
    if snapshot is not None:
        try:
            known = places.find(snapshot, word)
        except VmStatsError as error:
            problem = error
    if known is not None:
        return Target(known.sample.name, known.sample.uuid, known.sample.pid, known)
    try:
        found = _guests(places, names, word)
    except GuestError as error:
        raise UnknownVmError(str(problem or error)) from None
    guests = [one for one in found if one.ended_realtime_ns is None]
    if len(guests) != 1:
        pids = ", ".join(str(one.pid) for one in guests)
        why = f"names {len(guests)} guests; give the pid of one: {pids}" if guests else "has ended"
        raise UnknownVmError(f"'{word}' {why}; kvmlog guests lists those that run")
    (guest,) = guests
    return Target(guest.name, guest.uuid, guest.pid, None)


def _guests(places: Places, names: GuestNames, word: str) -> list[Guest]:
    """Return the bridge's guests of a word, of one that has just been started too; GuestError."""
    with contextlib.suppress(GuestError):
        return names.matching([word])
    with contextlib.suppress(SwitchError), places.waiting():
        SwitchClient(places.switch).guests()
    names.reload()
    return names.matching([word])
