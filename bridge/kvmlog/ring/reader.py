# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring's readers: snapshots without torn records, and the state in the header.

include/uapi/kvmlog/ring.h describes the protocol; the copying is C (bridge/native).
"""

from __future__ import annotations

import errno
import functools
import os
import time
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.native import ffi, lib
from kvmlog.ring import clocks, mapped_file
from kvmlog.ring import header as ring_header
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.filter import SLOTS, Filter
from kvmlog.ring.records import enum_names
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import RingError, RingFormatError, RingMissingError, os_error
from kvmlog.util.process import is_running

_STATES = enum_names("kvmlog_ring_state", "KVMLOG_RING_")
ABANDONED: Final = "abandoned"
_SOURCES = enum_names("kvmlog_source", "KVMLOG_SOURCE_")
_COUNTERS = [name for name, _ in ffi.typeof("struct kvmlog_counters").fields]


@dataclass(frozen=True)
class RingInfo:
    """The ring's header at one moment; times in ns, each of the clock in its name."""

    path: str
    ring_id: str  # hex
    state: str  # running, stopped, replaced; abandoned: its writer was killed
    writer_pid: int
    writer_alive: bool
    source: str  # none, kmod, bpf: the source that tracing was last switched on with
    switched_on: bool
    config_epoch: int
    capacity: int
    record_bytes: int
    head: int
    reserve: int
    counters: dict[str, int]  # fields of struct kvmlog_counters, since the ring was made
    lost_records: int
    lost_messages: int
    bad_messages: int
    monotonic_ns: int
    realtime_ns: int
    boottime_ns: int
    utc_offset_s: int
    heartbeat_age_ns: int
    created_realtime_ns: int
    created_utc_offset_s: int


@dataclass(frozen=True)
class Snapshot:
    """Records first_index .. next_index - 1 of the ring `ring_id`, oldest first, none torn.

    With a filter those of them that pass. `overwritten`: how many of the requested records were
    already gone.
    """

    ring_id: str
    first_index: int
    next_index: int
    overwritten: int
    records: bytes


_MOST_U64: Final = 2**64 - 1
# For memory that C fills: zeroing it first would be wasted.
_new_uninitialized: Final[Any] = ffi.new_allocator(should_clear_after_alloc=False)


class _Mapping(Closeable):
    """One ring file, open and mapped read-only."""

    def __init__(self, path: str) -> None:
        self.fd = ring_header.RING.open(path)
        self.ring = ffi.new("struct kvmlog_ring *")
        self.legacy = ffi.new("struct kvmlog_legacy *")
        self.legacy_text = ""
        try:
            self.file_key = mapped_file.file_key(self.fd)
            head = ring_header.read_header(path, self.fd)
            self.ring_id = bytes(head.ring_id).hex()
            self.capacity: int = head.capacity
            self.record_bytes: int = head.record_bytes
            rc = lib.kvmlog_ring_map(self.ring, self.fd, self.capacity, self.record_bytes, 0)
            if rc < 0:
                raise RingError(f"{path}: cannot be mapped: {os.strerror(-rc)}") from os_error(-rc)
            ring_header.check_counts(path, self.ring)
        except BaseException:
            lib.kvmlog_ring_unmap(self.ring)
            os.close(self.fd)
            raise

    def close(self) -> None:
        if self.fd >= 0:
            lib.kvmlog_ring_unmap(self.ring)
            os.close(self.fd)
            self.fd = -1


class RingReader(Closeable):
    """A ring, opened read-only; opens the new file when the bridge replaces the ring.

    RingMissingError, RingFormatError or RingError where it cannot be read. Not thread-safe.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._map: _Mapping | None = _Mapping(self.path)
        self._buffer: Any = None

    def close(self) -> None:
        """Unmap the file; a second call does nothing."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def is_current(self) -> bool:
        """Return whether the name leads to this file, and this process may still open it."""
        try:
            same = mapped_file.named_key(self.path) == self._current().file_key
        except OSError:
            return False
        return same and os.access(self.path, os.R_OK, effective_ids=True)

    def trim(self) -> None:
        """Free the memory of the last snapshot: a reader that is kept for later needs none."""
        self._buffer = None

    @property
    def capacity(self) -> int:
        """Number of slots."""
        return self._current().capacity

    def info(self) -> RingInfo:
        """Return the header as it is now, its clocks and counters of one moment."""
        header = self._header()
        same_boot = bytes(header.boot_id) == boot_id()
        # The monotonic clock of another boot says nothing about now.
        if same_boot:
            age_ns = time.monotonic_ns() - header.monotonic_ns
        else:
            age_ns = time.time_ns() - header.realtime_ns
        pid = header.writer_pid
        state = _STATES.get(header.state, str(header.state))
        if header.state == lib.KVMLOG_RING_RUNNING and not has_writer(header):
            state = ABANDONED
        created = clocks.of_header(header).of(header.created_realtime_ns)
        return RingInfo(
            path=self.path,
            ring_id=bytes(header.ring_id).hex(),
            state=state,
            writer_pid=pid,
            writer_alive=state == _STATES[lib.KVMLOG_RING_RUNNING],
            source=_SOURCES.get(header.source, str(header.source)),
            switched_on=bool(header.switched_on),
            config_epoch=header.config_epoch,
            capacity=self._current().capacity,
            record_bytes=self._current().record_bytes,
            head=header.head,
            reserve=header.reserve,
            counters={name: getattr(header.counters, name) for name in _COUNTERS},
            lost_records=header.lost_records,
            lost_messages=header.lost_messages,
            bad_messages=header.bad_messages,
            monotonic_ns=header.monotonic_ns,
            realtime_ns=header.realtime_ns,
            boottime_ns=header.boottime_ns,
            utc_offset_s=header.utc_offset_s,
            heartbeat_age_ns=max(0, age_ns),
            created_realtime_ns=created.realtime_ns,
            created_utc_offset_s=created.utc_offset_s,
        )

    def snapshot(self, count: int | None = None, since: int | None = None) -> Snapshot:
        """Return the newest `count` records, or up to `count` from index `since` on (None: all).

        An index `since` ahead of the writer gives no record. After a replacement the snapshot is
        of the new ring (its ring_id differs), where an old index means nothing: a caller that
        keeps a position compares ring_id.
        """
        for name, value in (("count", count), ("since", since)):
            if value is not None and value < 0:
                raise RingError(f"{name} {value} is negative; give 0 or more")
        mapping = self._mapping_to_read()
        limit = mapping.capacity if count is None else min(count, mapping.capacity)
        buffer = self._buffer_of(limit * mapping.record_bytes)
        span = ffi.new("struct kvmlog_span *")
        if since is None:
            rc = lib.kvmlog_ring_newest(mapping.ring, limit, buffer, len(buffer), span)
        else:
            rc = lib.kvmlog_ring_since(
                mapping.ring, _index(since), limit, buffer, len(buffer), span
            )
        self._check(rc)
        length = (span.next_index - span.first_index) * mapping.record_bytes
        return Snapshot(
            ring_id=mapping.ring_id,
            first_index=span.first_index,
            next_index=span.next_index,
            overwritten=span.overwritten,
            records=ffi.buffer(buffer)[span.offset : span.offset + length],
        )

    def select_newest(
        self, passes: Filter, count: int, end: int | None = None, slots: int = SLOTS
    ) -> Snapshot:
        """Return the newest `count` records, of those before index `end` (None: all), that pass.

        At most `slots` records are searched. Where fewer than `count` were found, the search goes
        on with `end` first_index, until one searches nothing: first_index equals next_index.
        """
        mapping = self._mapping_to_read()
        most, buffer, indices, found = self._results(mapping, count, slots)
        rc = lib.kvmlog_ring_select_newest(
            mapping.ring, passes.native, _index(end), slots, buffer, indices, most, found
        )
        return self._selected(mapping, rc, buffer, found)

    def select_since(
        self, passes: Filter, index: int, count: int, end: int | None = None, slots: int = SLOTS
    ) -> Snapshot:
        """Return the first `count` records from `index` on, and before `end`, that pass.

        At most `slots` records are searched; the next search begins at next_index. An index ahead
        of the writer, and a replacement, are as for snapshot().
        """
        mapping = self._mapping_to_read()
        most, buffer, indices, found = self._results(mapping, count, slots)
        rc = lib.kvmlog_ring_select_since(
            mapping.ring,
            passes.native,
            _index(index),
            _index(end),
            slots,
            buffer,
            indices,
            most,
            found,
        )
        return self._selected(mapping, rc, buffer, found)

    def legacy_text(self) -> str:
        """Return getKvmLog's text (docs/rpc.md), "" for a ring without exits.

        While nothing is written, each call returns the same text again, and looks at no record.
        """
        self._follow()
        mapping = self._current()
        rc = lib.kvmlog_ring_legacy(mapping.ring, mapping.legacy)
        self._check(rc)
        if rc == 1:
            mapping.legacy_text = ffi.buffer(mapping.legacy.text, mapping.legacy.length)[:].decode()
        return mapping.legacy_text

    def clocks(self) -> Clocks:
        """Return what gives each record the time of day that held then."""
        return clocks.of_header(self._header())

    def _mapping_to_read(self) -> _Mapping:
        self._follow()
        return self._current()

    def _results(self, mapping: _Mapping, count: int, slots: int) -> tuple[int, Any, Any, Any]:
        """Return how many records a search may find, and where C puts them and tells of them."""
        most = min(count, slots, mapping.capacity)
        buffer = self._buffer_of(most * mapping.record_bytes)
        indices = _new_uninitialized("__u64[]", max(most, 1))
        return most, buffer, indices, ffi.new("struct kvmlog_selected *")

    def _selected(self, mapping: _Mapping, rc: int, buffer: Any, found: Any) -> Snapshot:
        self._check(rc)
        end = found.offset + found.count * mapping.record_bytes
        return Snapshot(
            ring_id=mapping.ring_id,
            first_index=found.first_index,
            next_index=found.next_index,
            overwritten=found.overwritten,
            records=ffi.buffer(buffer)[found.offset : end],
        )

    def _current(self) -> _Mapping:
        if self._map is None:
            raise RingError(f"{self.path}: this reader is closed")
        return self._map

    def _header(self) -> Any:
        self._follow()
        header = ffi.new("struct kvmlog_ring_header *")
        rc = lib.kvmlog_ring_read_header(self._current().ring, header)
        # A writer that died inside an update leaves it so: its last words are still worth showing.
        self._check(0 if rc == -errno.EBUSY else rc)
        return header

    def _follow(self) -> None:
        """Open the file that has the name now, where it is another one."""
        mapping = self._current()
        if not mapped_file.is_replaced(self.path, mapping.file_key):
            self._check(lib.kvmlog_ring_whole(mapping.ring))
            return
        try:
            fresh = _Mapping(self.path)
        except RingMissingError:
            return
        self._map = fresh
        mapping.close()

    def _buffer_of(self, size: int) -> Any:
        """Return a buffer of at least `size` bytes, the last one where it is large enough."""
        if self._buffer is None or len(self._buffer) < size:
            self._buffer = _new_uninitialized("unsigned char[]", max(size, 1))
        return self._buffer

    def _check(self, rc: int) -> None:
        if rc == -errno.ERANGE:
            raise RingFormatError(
                f"{self.path}: the file was cut short under the reader; restart the bridge"
            )
        if rc < 0:
            raise RingError(f"{self.path}: {os.strerror(-rc)}")


def has_writer(header: Any) -> bool:
    """Return whether the process that says in the header that it writes the ring still lives."""
    return (
        header.state == lib.KVMLOG_RING_RUNNING
        and bytes(header.boot_id) == boot_id()
        and is_running(header.writer_pid, header.writer_start_ticks)
    )


def _index(index: int | None) -> int:
    """Return an index as C takes it, None as one that no record has."""
    return _MOST_U64 if index is None else min(index, _MOST_U64)


def host_clocks(path: str) -> Clocks:
    """Return the clocks of the ring at `path`; without a ring, those of this process."""
    try:
        with RingReader(path) as ring:
            return ring.clocks()
    except RingError:
        return clocks.of_this_process()


@functools.cache
def boot_id() -> bytes:
    """Return this boot's id, 16 bytes (/proc/sys/kernel/random/boot_id)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return bytes.fromhex(file.read().strip().replace("-", ""))
