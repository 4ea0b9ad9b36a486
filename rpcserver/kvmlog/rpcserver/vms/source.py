# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest poll of the collector, parsed and encoded ahead of the callers.

Parsing a file of hundreds of VMs takes longer than a call may. A thread parses each new one, and
encodes again what callers have asked for of the one before; meanwhile they get that.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from kvmlog.guests.names import Guest, GuestNames
from kvmlog.rpcserver.vms.errors import (
    LateCollectorError,
    NoCollectorError,
    UnusableStatisticsError,
)
from kvmlog.rpcserver.vms.selection import VmIndex
from kvmlog.util.errors import VmStatsError, VmStatsMissingError
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import SnapshotReader, lateness
from kvmlog.vmstats.snapshot import Snapshot, Vm

# Lets others compute while the calling thread waits (Work.waiting).
Waiting: TypeAlias = Callable[[], AbstractContextManager[object]]
# Encodes a VM, with its ages counted to the moment.
Encoder: TypeAlias = Callable[[Vm, Moment], bytes]

# Ahead of callers polls are read no more often than that; who asks more often has them read.
_AHEAD_S: Final = 5.0
# So long after its successor was due, a snapshot is no longer given to callers.
_GRACE_S: Final = 2.0
# So long after the last call all is made ready for the next: engines poll once a minute.
_KEPT_S: Final = 150.0
_ENCODED_BYTES: Final = 32 << 20
_MOST_KINDS: Final = 8
_PAUSE_S: Final = 0.0005


@dataclass
class _Kind:
    """The VMs of a snapshot in one encoding, by their ids: these live as long as it does."""

    encoder: Encoder
    asked_s: float  # when a caller asked for it last
    known: dict[int, bytes] = field(default_factory=dict)


class Poll:
    """One snapshot, and its VMs as they have been encoded; thread-safe.

    content: the bytes of the collector's file that the snapshot was made of.
    """

    def __init__(self, snapshot: Snapshot, content: bytes = b"") -> None:
        self.snapshot = snapshot
        self.content = content
        self._lock = threading.Lock()  # covers all below; held while a VM is encoded
        self._kinds: dict[Hashable, _Kind] = {}
        self._bytes = 0
        self._indexed: tuple[list[Guest], VmIndex] | None = None

    def index(self, ring_path: str) -> VmIndex:
        """Return its VMs by name, with the names that this ring's bridge knows them by."""
        guests = GuestNames(ring_path).guests()
        indexed = self._indexed
        # A list of the same objects: comparing takes no longer than to go through it.
        if indexed is None or indexed[0] != guests:
            indexed = self._indexed = (guests, VmIndex(self.snapshot, guests))
        return indexed[1]

    def encoded(self, name: Hashable, encoder: Encoder, vms: list[Vm]) -> list[bytes]:
        """Return some of the snapshot's VMs as bytes, made once for each name of an encoding.

        Their ages are counted to the poll.
        """
        with self._lock:
            return self._made(name, encoder, time.monotonic(), vms)

    def encode_as(self, before: Poll) -> None:
        """Encode what callers have had of an earlier snapshot: they will ask for it again."""
        since_s = time.monotonic() - _KEPT_S
        with before._lock:
            uuids = {id(vm): vm.sample.uuid for vm in before.snapshot.vms}
            again = [
                (name, kind.encoder, kind.asked_s, {uuids[one] for one in kind.known})
                for name, kind in before._kinds.items()
                if kind.asked_s > since_s
            ]
        with self._lock:
            for name, encoder, asked_s, known in again:
                for vm in self.snapshot.vms:
                    if vm.sample.uuid in known:
                        self._made(name, encoder, asked_s, [vm])
                        # Those who are being answered meanwhile need the interpreter often.
                        time.sleep(_PAUSE_S)

    def _made(self, name: Hashable, encoder: Encoder, asked_s: float, vms: list[Vm]) -> list[bytes]:
        kind = self._kinds.pop(name, None) or _Kind(encoder, asked_s)
        kind.asked_s = asked_s
        self._kinds[name] = kind  # the last one used is forgotten last
        if len(self._kinds) > _MOST_KINDS:
            gone = self._kinds.pop(next(iter(self._kinds)))
            self._bytes -= sum(map(len, gone.known.values()))
        return [self._one(kind, vm) for vm in vms]

    def _one(self, kind: _Kind, vm: Vm) -> bytes:
        found = kind.known.get(id(vm))
        if found is None:
            found = kind.encoder(vm, self.snapshot.collector.written)
            if self._bytes + len(found) <= _ENCODED_BYTES:
                kind.known[id(vm)] = found
                self._bytes += len(found)
        return found


class PollSource:
    """The polls of one file; thread-safe."""

    def __init__(self, path: str) -> None:
        self._reader = SnapshotReader(path, named_by="vmstats.file")
        self._lock = threading.Lock()  # covers all below
        self._newest: Poll | None = None
        self._reading: Future[Poll] | None = None
        self._asked_s = self._begun_s = time.monotonic()

    def newest(self, waiting: Waiting = contextlib.nullcontext) -> Poll:
        """Return the newest poll, or while that is parsed the one before.

        NoCollectorError, UnusableStatisticsError.
        """
        with self._lock:
            self._asked_s = time.monotonic()
            newest, reading = self._newest, self._reading
            if reading is None:
                if newest is not None and self._reader.is_current():
                    return newest
                reading = self._begin()
        if newest is not None and not _is_overdue(newest.snapshot):
            return newest
        with waiting():
            return reading.result()

    def look(self) -> None:
        """Begin to read a new poll before anybody asks, as long as somebody has asked of late.

        To be called about once a second; after some minutes without a caller nothing is kept.
        """
        with self._lock:
            now_s = time.monotonic()
            if self._newest is None or self._reading is not None:
                return
            if now_s - self._asked_s > _KEPT_S:
                self._newest = None
            elif now_s - self._begun_s > _AHEAD_S and not self._reader.is_current():
                self._begin()

    def _begin(self) -> Future[Poll]:
        self._begun_s = time.monotonic()
        reading = self._reading = Future()
        thread = threading.Thread(target=self._read, args=(reading, self._newest), daemon=True)
        thread.start()
        return reading

    def _read(self, ours: Future[Poll], before: Poll | None) -> None:
        try:
            poll = Poll(*self._reader.read_content())
            if before is not None:
                poll.encode_as(before)
        except VmStatsMissingError as error:
            self._end(None, ours, NoCollectorError(str(error)))
        except VmStatsError as error:
            self._end(None, ours, UnusableStatisticsError(str(error)))
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            self._end(None, ours, error)
        else:
            self._end(poll, ours, None)

    def _end(self, poll: Poll | None, ours: Future[Poll], error: BaseException | None) -> None:
        with self._lock:
            self._newest, self._reading = poll, None
        if poll is not None:
            ours.set_result(poll)
        else:
            ours.set_exception(error)


def require_fresh(snapshot: Snapshot) -> None:
    """Raise LateCollectorError where the collector has not written for too long."""
    late = lateness(snapshot, Moment.now())
    if late is not None:
        raise LateCollectorError(late)


def _is_overdue(snapshot: Snapshot) -> bool:
    """Return whether it is older than look() leaves it, and than the poll after the next."""
    collector = snapshot.collector
    age_s = (Moment.now().monotonic_ns - collector.written.monotonic_ns) / 1e9
    return not 0 <= age_s <= max(2 * collector.effective_interval_s, _AHEAD_S) + _GRACE_S
