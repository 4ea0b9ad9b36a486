# SPDX-License-Identifier: GPL-2.0-or-later
"""Joins the sources and the file: each tick, all that is new goes into one transaction."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.history import events, health, journal, log, retention, samples, services
from kvmlog.history.exits import ExitFaults
from kvmlog.history.health import Found
from kvmlog.history.model import Binary
from kvmlog.history.moment import Stamp
from kvmlog.history.protocol import Beat, Request, ServiceUpdate
from kvmlog.history.rows import stamp
from kvmlog.history.samples import Samples
from kvmlog.history.store import DamagedStoreError, Store, Transaction
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import HistoryError, VmStatsError, VmStatsMissingError
from kvmlog.util.ratelimit import LogLimiter
from kvmlog.vmstats.events import Event, EventReader, Header, path_of
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import SnapshotReader
from kvmlog.vmstats.snapshot import Snapshot

BEAT_S: Final = 10.0
# Events of its time are in their file by then.
_SETTLED_S: Final = 2.0
_BRIDGE_S: Final = 1.0
# Not written yet, because the file cannot be; what is missing then is told by the numbers.
_EVENTS_MOST: Final = 50_000
_TRIM_S: Final = 60.0
# One trim after the other, while there is much to delete.
_TRIM_AGAIN_S: Final = 1.0


@dataclass(frozen=True)
class Settings:
    """Where things are, and whose they are."""

    ring: str
    switch: str
    vmstats: str
    zone: str
    host_uuid: str
    boot_id: str


class Recorder(Closeable):
    """The history of this host; for one thread. tick() is to be called about once a second."""

    def __init__(self, settings: Settings, store: Store, limits: retention.Limits) -> None:
        self.limits = limits
        self._settings = settings
        self._store = store
        self._switch = SwitchClient(settings.switch, timeout_s=_BRIDGE_S)
        self._exits = ExitFaults(settings.ring, self._switch)
        self._event_reader = EventReader(path_of(settings.vmstats))
        self._snapshot_reader = SnapshotReader(settings.vmstats, "vmstats.file")
        self._samples = Samples()
        self._header: Header | None = None
        self._events: list[Event] = []
        self._snapshot: Snapshot | None = None  # not yet taken
        self._last_snapshot: Snapshot | None = None
        self._beat_due = 0.0
        self._trim_due = 0.0
        self._log = LogLimiter(log)
        self._trouble: str | None = None  # with the file
        self._warnings: dict[str, str] = {}  # of each file that cannot be used
        with store.transaction(self._now()) as transaction:
            self._begin(transaction)

    @property
    def state(self) -> str:
        """Return what it does, in a line."""
        return self._trouble or self._warning or f"keeping what happens in {self._store.path}"

    def tick(self) -> None:
        """Take what is new. A file that cannot be written is tried again; nothing is lost by it."""
        self._read_events()
        self._read_snapshot()
        due = self._exits.look() or bool(self._events) or self._is_settled()
        monotonic_s = time.monotonic()
        found: list[Found] = []
        beats = monotonic_s >= self._beat_due
        if beats:
            found = self._look_around()
        trims = monotonic_s >= self._trim_due
        if due or beats or trims:
            self._try(beats, found, trims)

    def carry_out(self, request: Request) -> dict[str, Any]:
        """Do what a request asks for; HistoryError."""
        with self._writing() as transaction:
            if isinstance(request, Beat):
                self._beat(transaction, request.binary, request.detail)
            elif isinstance(request, ServiceUpdate):
                services.update(transaction, request.binary, request.wanted)
            else:
                journal.consumed(transaction, request.consumer, request.sequence)
        return {}

    def close(self) -> None:
        self._exits.close()

    def _begin(self, transaction: Transaction) -> None:
        row = transaction.one("SELECT * FROM meta")
        assert row is not None
        last = stamp(row, "written", transaction.boots)
        if last.boot_id != self._settings.boot_id:
            samples.host_went_down(transaction, last)
        self._exits.load(transaction)

    def _try(self, beats: bool, found: list[Found], trims: bool) -> None:
        settled = self._snapshot if self._is_settled() else None
        more = False
        try:
            with self._writing() as transaction:
                if self._header is not None and self._events:
                    events.take(transaction, self._header, self._events)
                if settled is not None:
                    self._samples.take(transaction, settled)
                self._exits.take(transaction, self._settings.boot_id)
                if beats:
                    self._beats(transaction, found)
                if trims:
                    more = retention.trim(transaction, self.limits)
        except HistoryError as error:
            self._trouble = str(error)
            self._log(self._trouble)
            return
        self._trouble = None
        self._exits.committed()
        self._events = []
        if settled is not None:
            self._snapshot = None
        now = time.monotonic()
        if beats:
            self._beat_due = now + BEAT_S
        if trims:
            self._trim_due = now + (_TRIM_AGAIN_S if more else _TRIM_S)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Transaction]:
        """Begin a transaction; a file that turns out to be damaged is begun anew."""
        try:
            with self._store.transaction(self._now()) as transaction:
                yield transaction
        except DamagedStoreError:
            self._store.open_again(self._now())
            raise

    def _look_around(self) -> list[Found]:
        self._exits.ask()
        found = [Found(Binary.HISTORY, True, self._warning), *health.of_bridge(self._switch)]
        if self._last_snapshot is not None:
            found += health.of_collector(self._last_snapshot, Moment.now())
        return found

    def _beats(self, transaction: Transaction, found: list[Found]) -> None:
        for one in found:
            if one.lives:
                self._beat(transaction, one.binary, one.detail)
            else:
                services.note(transaction, one.binary, one.detail)
        services.tell_up_and_down(transaction)
        transaction.update("meta", 1, written=transaction.now, warning=self._warning)

    def _beat(self, transaction: Transaction, binary: Binary, detail: str | None) -> None:
        settings = self._settings
        services.beat(
            transaction, binary, settings.zone, settings.host_uuid, transaction.now, detail
        )

    def _read_events(self) -> None:
        if len(self._events) > _EVENTS_MOST:
            return
        try:
            header, new = self._event_reader.read()
        except VmStatsMissingError:
            return  # no collector, which its service tells
        except VmStatsError as error:
            self._warn(self._event_reader.path, str(error))
            return
        self._warnings.pop(self._event_reader.path, None)
        if self._header is not None and header.log_id != self._header.log_id:
            # What was not written yet belongs to the log before.
            if self._events:
                self._log(f"{len(self._events)} events of the collector before are lost")
            self._events = []
        self._header = header
        self._events += new

    def _read_snapshot(self) -> None:
        if self._snapshot is not None or self._snapshot_reader.is_current():
            return
        try:
            self._snapshot = self._last_snapshot = self._snapshot_reader.read()
        except VmStatsMissingError:
            return
        except VmStatsError as error:
            self._warn(self._snapshot_reader.path, str(error))
            return
        self._warnings.pop(self._snapshot_reader.path, None)
        if self._snapshot.boot_id != self._settings.boot_id:
            # A file of before the host's start: the collector has not begun yet.
            self._snapshot = self._last_snapshot = None

    def _is_settled(self) -> bool:
        if self._snapshot is None:
            return False
        age_ns = time.monotonic_ns() - self._snapshot.collector.written.monotonic_ns
        return age_ns > _SETTLED_S * 1e9

    @property
    def _warning(self) -> str | None:
        return next(iter(self._warnings.values()), None)

    def _warn(self, path: str, sentence: str) -> None:
        if sentence != self._warnings.get(path):
            self._warnings[path] = sentence
            self._log(sentence)

    def _now(self) -> Stamp:
        return Stamp.now(self._settings.boot_id)
