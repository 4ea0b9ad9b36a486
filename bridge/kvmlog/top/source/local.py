# SPDX-License-Identifier: GPL-2.0-or-later
"""This host: the statistics file and the ring, and the bridge's socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Sequence
from typing import Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import Sampling
from kvmlog.guests.model import Guest
from kvmlog.guests.names import GuestNames
from kvmlog.ring.reader import RingReader
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsReader
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from kvmlog.stat.report import Moment, Report, report
from kvmlog.stat.sampler import Sampler
from kvmlog.top.model.health import Status
from kvmlog.top.model.scope import Wanted
from kvmlog.util.errors import KvmlogError, RingError, SwitchError

_ASK_S: Final = 1.0


class LocalSample:
    """Two samples of the statistics, of which any report can be made, now or later."""

    def __init__(
        self,
        base: Moment | None,
        now: Moment,
        names: StatisticsNames,
        lock: threading.Lock,
        chosen: Collection[int] | None,
        roster: Sequence[Guest],
        status: Status,
    ) -> None:
        self._base, self._now = base, now
        self._names, self._lock = names, lock
        self._chosen = chosen
        self.roster = roster
        self.status = status
        self.from_start = base is None
        self._made: dict[Wanted, Report] = {}

    def report(self, wanted: Wanted) -> Report | None:
        """Return the report; of a guest that the statistics do not know one without exits."""
        with self._lock:
            made = self._made.get(wanted)
            if made is None:
                made = self._made[wanted] = report(
                    self._now, self._base, self._names, wanted.query, self._ids(wanted)
                )
            return made

    def _ids(self, wanted: Wanted) -> Collection[int] | None:
        if wanted.guest is None:
            return self._chosen
        known = self._now.snapshot.guests
        one = known.get(wanted.guest.id)
        if one is not None and one.tgid == wanted.guest.pid:
            return {one.id}
        pid = wanted.guest.pid
        return {guest.id for guest in known.values() if pid and guest.tgid == pid}


class LocalSource:
    """The statistics of a ring. words: the guests to show, empty for all."""

    def __init__(self, ring: str, switch: str, words: Sequence[str] = ()) -> None:
        self.host = socket.gethostname()
        self._ring, self._switch = ring, switch
        self._words = words
        self._reader = StatisticsReader(ring + SUFFIX)
        self._sampler = Sampler(self._reader, ring, switch, Query(), (), lambda _warning: None)
        self._guests = GuestNames(ring)
        self._names = StatisticsNames(self._guests)
        self._lock = threading.Lock()  # covers the names, which the screen's thread reads too
        self._base: Moment | None = None
        self._closed = threading.Event()

    def require(self, interval_s: float) -> None:
        """Raise IntervalError for an interval whose exits cannot be told apart."""
        self._sampler.require(interval_s)

    def close(self) -> None:
        """End a wait, after which the reader is closed."""
        self._closed.set()

    def sample(self, wanted: Sequence[Wanted], interval_s: float | None) -> LocalSample:
        """Wait so long, and return the exits meanwhile; wanted: no matter, any can be had later."""
        if interval_s is not None and self._closed.wait(interval_s):
            self._reader.close()
            raise KvmlogError("the screen has been closed")
        now = self._sampler.last() if interval_s is None else self._sampler.now()
        with self._lock:
            self._names.update(now.snapshot.guests)
            chosen = self._names.matching(self._words) if self._words else None
            roster = self._roster()
        base = None if interval_s is None else self._base
        self._base = now
        return LocalSample(base, now, self._names, self._lock, chosen, roster, self._status())

    def switch(self, on: bool, vm: Sequence[str], for_s: float | None, sampling: Sampling) -> None:
        """Switch tracing through the bridge's socket."""
        SwitchClient(self._switch).switch(on, vm, for_s, sampling)

    def _roster(self) -> list[Guest]:
        """Return the guests that run, of those that were chosen."""
        known = (
            self._guests.matching(self._words, self._words)
            if self._words
            else self._guests.guests()
        )
        return [one for one in known if one.ended_realtime_ns is None]

    def _status(self) -> Status:
        bridge, bridge_error, ring, ring_error = None, None, None, None
        try:
            bridge = SwitchClient(self._switch, _ASK_S).status()
        except SwitchError as error:
            bridge_error = str(error)
        try:
            with RingReader(self._ring) as reader:
                ring = reader.info()
        except RingError as error:
            ring_error = str(error)
        return Status(bridge, bridge_error, ring, ring_error)
