# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring's one writer: creates, continues and closes the file (docs/ring-format.md).

The writing of each record is C (bridge/native); this module chooses the file and keeps others
from writing it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from typing import Any, Final

from kvmlog.native import ffi, lib
from kvmlog.ring import header as ring_header
from kvmlog.ring import own_file
from kvmlog.ring.lock import RingLock, busy
from kvmlog.ring.reader import boot_id, has_writer
from kvmlog.util import ownership, permissions
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import (
    DamagedFileError,
    RingError,
    RingFormatError,
    RingMissingError,
    os_error,
)
from kvmlog.util.log import log
from kvmlog.util.process import start_ticks

# Who usually removes files under a running bridge.
CLEANER: Final = "by a cleaner of temporary files?"
_REMEDY: Final = "give fewer slots (--slots), another place (--ring) or free some"
_COUNTERS = [name for name, _ in ffi.typeof("struct kvmlog_counters").fields]


class RingWriter(Closeable):
    """The ring at `path`, created or continued, locked against a second writer.

    A ring of this boot with the same geometry is continued with its records and counts; any other
    ring there is marked REPLACED and a new one is renamed over it. `continued`: which of the two;
    `killed_before`: whether the last writer ended without closing it. RingBusyError when another
    process writes it, RingError when it cannot be created.
    """

    def __init__(self, path: str, slots: int) -> None:
        if not ring_header.is_capacity(slots):
            raise RingError(
                f"{slots} slots: give a power of two from {lib.KVMLOG_RING_MIN_SLOTS} "
                f"to {lib.KVMLOG_RING_MAX_SLOTS}"
            )
        self.path = path
        self.geometry = ring_header.Geometry(slots, lib.KVMLOG_RECORD_BYTES)
        self.native: Any = ffi.NULL
        self._fd = -1
        permissions.make_parent(path)
        ownership.check_folder(path, remedy="choose another place (--ring)")
        self._lock = RingLock(path)
        try:
            self.continued = self._open_or_make()
            self._start()
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Set the state STOPPED and release the lock; a second call does nothing."""
        if self.native != ffi.NULL:
            lib.kvmlog_writer_heartbeat(self.native)
            lib.kvmlog_writer_switched(self.native, 0, lib.KVMLOG_SOURCE_NONE)
            lib.kvmlog_writer_state(self.native, lib.KVMLOG_RING_STOPPED)
        self._release()

    @property
    def ring_id(self) -> str:
        """The ring's random id, 32 hex digits."""
        return bytes(self.header().ring_id).hex()

    def header(self) -> Any:
        """Return a copy of the header, struct kvmlog_ring_header."""
        header = ffi.new("struct kvmlog_ring_header *")
        lib.kvmlog_writer_header(self.native, header)
        return header

    def append(self, records: bytes) -> None:
        """Append whole records, the bytes of their C structs; ValueError for parts."""
        size = self.geometry.record_bytes
        if len(records) % size:
            raise ValueError(f"{len(records)} bytes are no whole number of {size}-byte records")
        lib.kvmlog_writer_append(self.native, ffi.from_buffer(records), len(records) // size)

    def counters(self) -> dict[str, int]:
        """Return the header's counters by name."""
        counters = self.header().counters
        return {name: getattr(counters, name) for name in _COUNTERS}

    def publish_counters(self, counters: dict[str, int]) -> None:
        """Write all counters of struct kvmlog_counters, totals since the ring was made.

        Modulo 2^64, as C counts: a damaged ring may hold any numbers.
        """
        wrapped = {name: value % 2**64 for name, value in counters.items()}
        lib.kvmlog_writer_counters(self.native, ffi.new("struct kvmlog_counters *", wrapped))

    def switched(self, on: bool, source: int) -> None:
        """Write to the header whether tracing is on, and its source (enum kvmlog_source)."""
        lib.kvmlog_writer_switched(self.native, int(on), source)

    def set_statistics(self, statistics_id: bytes) -> None:
        """Write to the header which statistics belong to the ring: 16 bytes, zero for none."""
        lib.kvmlog_writer_statistics(self.native, statistics_id)

    def keep(self) -> str:
        """Make ring and lock anew under their names where they were removed; once a second.

        A copy of this ring that took the name is replaced, too. The new file gets all records and
        goes on with the ring's id. Return why the name cannot be had, a sentence, or "".
        KvmlogError when that fails, RingBusyError when another bridge has taken the lock,
        DamagedFileError for a header that somebody else wrote.
        """
        if not self._lock.is_named():
            permissions.make_parent(self.path)
            self._lock.take_again()
            log(f"{self._lock.path}: had been removed or replaced ({CLEANER}); made anew")
        if os.fstat(self._fd).st_size < self.geometry.file_bytes:
            raise DamagedFileError(
                f"{self.path}: was cut short by somebody else while it was written; ending: start "
                "the bridge again (its service does), which makes a new one"
            )
        if own_file.has_name(self.path, self._fd):
            self._check_header()
            return ""
        foreign = self._foreign()
        if foreign:
            return (
                f"{self.path}: another file has the name of the ring ({foreign}); records go into "
                "the nameless file until that one is removed"
            )
        self._move()
        log(f"{self.path}: had been removed or replaced ({CLEANER}); made anew with all records")
        return ""

    def _foreign(self) -> str:
        """Return what has the ring's name and is neither missing nor a copy of it, in words."""
        found = ownership.name_objection(self.path)
        if found or not os.path.lexists(self.path):
            return found
        with contextlib.suppress(RingMissingError):
            fd = ring_header.RING.open(self.path)
            try:
                raw = os.pread(fd, ring_header.HEADER_BYTES, 0)
            finally:
                os.close(fd)
            at = ffi.offsetof("struct kvmlog_ring_header", "ring_id")
            own = bytes(self.header().ring_id)
            if not raw.startswith(ring_header.MAGIC):
                return "it is no ring"
            return "" if raw[at : at + len(own)] == own else "another ring"
        return ""

    def _move(self) -> None:
        """Go on in a new file under the ring's name."""
        fresh = ffi.new("struct kvmlog_ring *")

        def fill(fd: int) -> None:
            rc = lib.kvmlog_writer_copy_to(self.native, fd, fresh)
            if rc < 0:
                failure = os_error(-rc)
                raise RingError(f"{self.path}: cannot be mapped: {failure.strerror}") from failure

        permissions.make_parent(self.path)
        try:
            fd = own_file.make(self.path, self.geometry.file_bytes, fill, RingError, _REMEDY)
            lib.kvmlog_writer_move(self.native, fresh)
        finally:
            # The old file's by now, or that of one which could not be made.
            lib.kvmlog_ring_unmap(fresh)
        os.close(self._fd)
        self._fd = fd

    def _check_header(self) -> None:
        header = self.header()
        geometry = ring_header.Geometry(header.capacity, header.record_bytes)
        if bytes(header.magic) != ring_header.MAGIC or geometry != self.geometry:
            # It is ours: the next bridge is to replace it, and not to take it for another file.
            os.pwrite(self._fd, ring_header.MAGIC + bytes(8), 0)
            raise DamagedFileError(
                f"{self.path}: somebody else wrote into the ring's header; ending: start the "
                "bridge again (its service does), which makes a new one"
            )

    def _open_or_make(self) -> bool:
        """Return whether an old ring is continued."""
        try:
            fd = own_file.open_own(ring_header.RING, self.path)
        except RingMissingError:
            self._fd = self._make()
            return False
        try:
            own_file.refuse_foreign(self.path, fd, ring_header.MAGIC, RingError)
            header = ring_header.read_header(self.path, fd)
            if has_writer(header) and header.writer_pid != os.getpid():
                # The lock file was removed under it, before it noticed.
                raise busy(self.path, header.writer_pid)
            same = ring_header.Geometry(header.capacity, header.record_bytes) == self.geometry
            # Times of two boots do not belong in one order, nor to one clock.
            if same and bytes(header.boot_id) == boot_id():
                self._check_counts(fd)
                self._fd = fd
                return True
        except RingFormatError:
            pass  # a ring, but an older, newer or damaged one
        except BaseException:
            os.close(fd)
            raise
        try:
            fresh = self._make()
        except BaseException:
            os.close(fd)
            raise
        self._fd = fresh
        _mark_replaced(fd)
        os.close(fd)
        return False

    def _check_counts(self, fd: int) -> None:
        ring = ffi.new("struct kvmlog_ring *")
        size = self.geometry
        rc = lib.kvmlog_ring_map(ring, fd, size.capacity, size.record_bytes, 0)
        if rc < 0:
            failure = os_error(-rc)
            raise RingError(f"{self.path}: cannot be mapped: {failure.strerror}") from failure
        try:
            ring_header.check_counts(self.path, ring)
        finally:
            lib.kvmlog_ring_unmap(ring)

    def _make(self) -> int:
        """Create a new ring file under its final name; return its descriptor."""
        return own_file.make(
            self.path,
            self.geometry.file_bytes,
            lambda fd: _fill_header(fd, self.geometry),
            RingError,
            _REMEDY,
        )

    def _start(self) -> None:
        native = lib.kvmlog_writer_new(self._fd, self.geometry.capacity, self.geometry.record_bytes)
        if native == ffi.NULL:
            failure = os_error(ffi.errno)
            raise RingError(f"{self.path}: cannot be mapped: {failure.strerror}") from failure
        self.native = native
        header = self.header()
        exits = lib.kvmlog_writer_recount(native)
        killed = self.continued and header.state == lib.KVMLOG_RING_RUNNING
        if killed:
            # What the killed writer had received and not published, or what waited in its socket.
            lib.kvmlog_writer_loss(native, lib.KVMLOG_LOSS_RESTART, 0, 0, lib.KVMLOG_NO_CPU)
        self.killed_before = killed
        counters = self.counters()
        reconciled = _reconciled(counters, exits)
        if reconciled != counters:
            self.publish_counters(reconciled)
        pid = os.getpid()
        lib.kvmlog_writer_start(native, pid, start_ticks(pid) or 0, boot_id())

    def _release(self) -> None:
        if self.native != ffi.NULL:
            lib.kvmlog_writer_free(self.native)
            self.native = ffi.NULL
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._lock.close()


def _reconciled(counters: dict[str, int], exits: int) -> dict[str, int]:
    """Return the counters of a ring that holds, or held, so many exits, and whose writer is gone.

    They are published once a second: what a killed writer wrote after that is in the ring only.
    Exits that were pending then and did not come are lost.
    """
    more = max(0, exits - counters["emitted"])
    pending = counters["pending"]
    return {
        **counters,
        "seen": counters["seen"] + max(0, more - pending),
        "emitted": counters["emitted"] + more,
        "dropped": counters["dropped"] + max(0, pending - more),
        "pending": 0,
    }


def _fill_header(fd: int, geometry: ring_header.Geometry) -> None:
    """Write everything but the magic, then the magic."""
    header = ffi.new("struct kvmlog_ring_header *")
    header.format_version = lib.KVMLOG_RING_FORMAT_VERSION
    header.schema_version = lib.KVMLOG_SCHEMA_VERSION
    header.header_bytes = ring_header.HEADER_BYTES
    header.record_bytes = geometry.record_bytes
    header.capacity = geometry.capacity
    header.ring_id = secrets.token_bytes(16)
    header.boot_id = boot_id()
    header.state = lib.KVMLOG_RING_STOPPED
    header.created_realtime_ns = time.time_ns()
    os.pwrite(fd, bytes(ffi.buffer(header)), 0)
    os.pwrite(fd, ring_header.MAGIC, 0)


def _mark_replaced(fd: int) -> None:
    """Tell readers of a ring that lost its name to reopen; leave a file that is no ring alone."""
    if os.pread(fd, len(ring_header.MAGIC), 0) != ring_header.MAGIC:
        return
    offset = ffi.offsetof("struct kvmlog_ring_header", "state")
    value = int(lib.KVMLOG_RING_REPLACED).to_bytes(4, "little")
    if os.fstat(fd).st_size >= ring_header.HEADER_BYTES:
        os.pwrite(fd, value, offset)
