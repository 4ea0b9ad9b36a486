# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring's one writer: creates, continues and closes the file (docs/ring-format.md).

The writing of each record is C (bridge/native); this module chooses the file and keeps others
from writing it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from typing import Any, Final

from kvmlog.native import ffi, lib
from kvmlog.ring import header as ring_header
from kvmlog.ring import mapped_file
from kvmlog.ring.reader import boot_id
from kvmlog.util import permissions
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import RingBusyError, RingError, RingFormatError, RingMissingError
from kvmlog.util.process import start_ticks

_LOCK_MODE: Final = 0o600
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
        self._lock_fd = _take_lock(path)
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

    def _open_or_make(self) -> bool:
        """Return whether an old ring is continued."""
        try:
            fd = ring_header.open_ring_file(self.path, os.O_RDWR)
        except RingMissingError:
            self._fd = self._make()
            return False
        try:
            mapped_file.refuse_foreign(self.path, fd, ring_header.MAGIC, RingError)
            header = ring_header.read_header(self.path, fd)
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
            raise RingError(f"{self.path}: cannot be mapped: {os.strerror(-rc)}")
        try:
            ring_header.check_counts(self.path, ring)
        finally:
            lib.kvmlog_ring_unmap(ring)

    def _make(self) -> int:
        """Create a new ring file under its final name; return its descriptor."""
        return mapped_file.make(
            self.path,
            self.geometry.file_bytes,
            lambda fd: _fill_header(fd, self.geometry),
            RingError,
            "give fewer slots (--slots), another place (--ring) or free some",
        )

    def _start(self) -> None:
        native = lib.kvmlog_writer_new(self._fd, self.geometry.capacity, self.geometry.record_bytes)
        if native == ffi.NULL:
            raise RingError(f"{self.path}: cannot be mapped: {os.strerror(ffi.errno)}")
        self.native = native
        header = self.header()
        killed = self.continued and header.state == lib.KVMLOG_RING_RUNNING
        if killed:
            # What the killed writer had received and not published, or what waited in its socket.
            lib.kvmlog_writer_loss(native, lib.KVMLOG_LOSS_RESTART, 0, 0, lib.KVMLOG_NO_CPU)
        self.killed_before = killed
        counters = self.counters()
        if counters["pending"]:
            # Exits whose re-entry the last writer did not live to see.
            counters["dropped"] += counters["pending"]
            counters["pending"] = 0
            self.publish_counters(counters)
        pid = os.getpid()
        lib.kvmlog_writer_start(native, pid, start_ticks(pid) or 0, boot_id())

    def _release(self) -> None:
        if self.native != ffi.NULL:
            lib.kvmlog_writer_free(self.native)
            self.native = ffi.NULL
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1


def _take_lock(path: str) -> int:
    """Return the locked descriptor of PATH.lock, which holds this process's pid."""
    name = f"{path}.lock"
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _LOCK_MODE)
        # An older one too: who may read a file may lock it, and keep the bridge from starting.
        os.fchmod(fd, _LOCK_MODE)
    except OSError as error:
        raise RingError(
            f"{name}: cannot be opened ({error.strerror}); "
            "run the bridge as root or choose another place (--ring)"
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise RingBusyError(
            f"{path}: process {pid} writes this ring already; "
            "stop that bridge or give this one another ring (--ring)"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return fd


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
