# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest poll of the collector, parsed and encoded ahead of the callers.

Parsing a file of hundreds of VMs takes longer than a call may. A thread parses each new one, and
encodes again what callers have asked for of the one before; meanwhile they get that.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Final, TypeAlias

from kvmlog.guests.names import Guest, GuestNames
from kvmlog.rpcserver.vms.errors import (
    LateCollectorError,
    NoCollectorError,
    UnusableStatisticsError,
)
from kvmlog.rpcserver.vms.selection import VmIndex
from kvmlog.util.errors import VmStatsError, VmStatsMissingError
from kvmlog.vmstats import file
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import SnapshotReader, lateness
from kvmlog.vmstats.snapshot import Snapshot, Vm

# Lets others compute while the calling thread waits (Work.waiting).
Waiting: TypeAlias = Callable[[], AbstractContextManager[object]]
# Encodes a VM, with its ages counted to the moment.
Encoder: TypeAlias = Callable[[Vm, Moment], bytes]

# So long after its successor was due, a snapshot is no longer given to callers.
_GRACE_S: Final = 1.0
_ENCODED_BYTES: Final = 32 << 20
_ENCODED_KINDS: Final = 8


class Poll:
    """One snapshot, and its VMs as they have been encoded; thread-safe."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._lock = threading.Lock()  # covers all below; held while a VM is encoded
        self._encoded: dict[Hashable, tuple[Encoder, dict[int, bytes]]] = {}
        self._bytes = 0
        self._content: bytes | None = None
        self._indexed: tuple[list[Guest], VmIndex] | None = None

    def index(self, ring_path: str) -> VmIndex:
        """Return its VMs by name, with the names that this ring's bridge knows them by."""
        guests = GuestNames(ring_path).guests()
        indexed = self._indexed
        # A list of the same objects: comparing takes no longer than to go through it.
        if indexed is None or indexed[0] != guests:
            indexed = self._indexed = (guests, VmIndex(self.snapshot, guests))
        return indexed[1]

    def content(self) -> bytes:
        """Return the snapshot as the collector's file has it, made once."""
        with self._lock:
            if self._content is None:
                self._content = file.encode(self.snapshot)
            return self._content

    def encoded(self, kind: Hashable, encoder: Encoder, vms: list[Vm]) -> list[bytes]:
        """Return some of the snapshot's VMs as bytes, made once for each kind of encoding.

        Their ages are counted to the poll.
        """
        with self._lock:
            known = self._encoded.pop(kind, (encoder, {}))[1]
            self._encoded[kind] = (encoder, known)  # the last one used is forgotten last
            if len(self._encoded) > _ENCODED_KINDS:
                _, gone = self._encoded.pop(next(iter(self._encoded)))
                self._bytes -= sum(map(len, gone.values()))
            return [self._one(known, encoder, vm) for vm in vms]

    def encode_as(self, before: Poll) -> None:
        """Encode what callers have had of an earlier snapshot: they will ask for it again."""
        with before._lock:
            asked = [
                (kind, encoder, set(known)) for kind, (encoder, known) in before._encoded.items()
            ]
            wants_content = before._content is not None
            uuids = {id(vm): vm.sample.uuid for vm in before.snapshot.vms}
        if wants_content:
            self.content()
        for kind, encoder, keys in asked:
            again = {uuids[key] for key in keys}
            self.encoded(kind, encoder, [vm for vm in self.snapshot.vms if vm.sample.uuid in again])

    def _one(self, known: dict[int, bytes], encoder: Encoder, vm: Vm) -> bytes:
        # A snapshot's VMs live as long as it does: their ids stay theirs.
        found = known.get(id(vm))
        if found is None:
            found = encoder(vm, self.snapshot.collector.written)
            if self._bytes + len(found) <= _ENCODED_BYTES:
                known[id(vm)] = found
                self._bytes += len(found)
        return found


class PollSource:
    """The polls of one file; thread-safe."""

    def __init__(self, path: str) -> None:
        self._reader = SnapshotReader(path)
        self._lock = threading.Lock()  # covers both
        self._newest: Poll | None = None
        self._reading: Future[Poll] | None = None

    def newest(self, waiting: Waiting = contextlib.nullcontext) -> Poll:
        """Return the newest poll, or while that is parsed the one before.

        NoCollectorError, UnusableStatisticsError.
        """
        with self._lock:
            newest, reading = self._newest, self._reading
            if reading is None:
                if newest is not None and self._reader.is_current():
                    return newest
                reading = self._reading = Future()
                threading.Thread(target=self._read, args=(reading, newest), daemon=True).start()
        if newest is not None and not _is_overdue(newest.snapshot):
            return newest
        with waiting():
            return reading.result()

    def _read(self, ours: Future[Poll], before: Poll | None) -> None:
        try:
            snapshot = self._reader.read()
            poll = Poll(snapshot)
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
    """Return whether the poll after the next should have been taken by now."""
    collector = snapshot.collector
    age_s = (Moment.now().monotonic_ns - collector.written.monotonic_ns) / 1e9
    return not 0 <= age_s <= 2 * collector.effective_interval_s + _GRACE_S
