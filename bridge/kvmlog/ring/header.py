# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of a ring file's header before anything is mapped (ring.h; docs/ring-format.md)."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.native import ffi, lib
from kvmlog.ring import mapped_file
from kvmlog.util.errors import RingError, RingFormatError, RingMissingError

MAGIC: Final = b"KVMLOGR\n"
HEADER_BYTES: Final[int] = lib.KVMLOG_RING_HEADER_BYTES
RING: Final = mapped_file.FileKind("there is no ring", RingMissingError, RingError, RingFormatError)
_STATES: Final = frozenset(ffi.typeof("enum kvmlog_ring_state").elements)


@dataclass(frozen=True)
class Geometry:
    """Number of slots and bytes per slot: a ring of the same geometry can be continued."""

    capacity: int
    record_bytes: int

    @property
    def file_bytes(self) -> int:
        """Size of the whole file, header and slots."""
        return HEADER_BYTES + self.capacity * self.record_bytes


def read_header(path: str, fd: int) -> Any:
    """Return the checked header, a cffi struct kvmlog_ring_header; RingFormatError.

    A writer may be at work, so that what it changes may be of several moments: the counts are
    checked in the mapped ring, check_counts().
    """
    header = ffi.new("struct kvmlog_ring_header *")
    raw = os.pread(fd, HEADER_BYTES, 0)
    if len(raw) < HEADER_BYTES:
        raise RingFormatError(
            f"{path}: {len(raw)} bytes are too short for a ring's header ({HEADER_BYTES}); "
            "remove the file and restart the bridge"
        )
    ffi.memmove(header, raw, HEADER_BYTES)
    _check(path, header, os.fstat(fd).st_size)
    return header


def check_counts(path: str, ring: Any) -> None:
    """Raise RingFormatError where head and reserve of a mapped ring contradict each other."""
    counts = ffi.new("struct kvmlog_ring_counts *")
    rc = lib.kvmlog_ring_check(ring, counts)
    if rc == -errno.EBADMSG:
        raise _damaged(path, f"head {counts.head}, reserve {counts.reserve}")
    if rc < 0:
        raise RingError(f"{path}: cannot be read: {os.strerror(-rc)}; restart the bridge")


def _check(path: str, header: Any, file_bytes: int) -> None:
    """Check what no writer changes, and the state, which is one number."""
    if bytes(header.magic) != MAGIC:
        raise RingFormatError(
            f"{path}: no kvmlog ring (it begins {bytes(header.magic)!r}, not {MAGIC!r}); "
            "name the bridge's ring (--ring)"
        )
    RING.expect(path, "format", header.format_version, lib.KVMLOG_RING_FORMAT_VERSION)
    RING.expect(path, "record schema", header.schema_version, lib.KVMLOG_SCHEMA_VERSION)
    unknown = header.incompat_flags & ~lib.KVMLOG_RING_INCOMPAT_KNOWN
    RING.expect_no_features(path, unknown)
    RING.expect(path, "header size", header.header_bytes, HEADER_BYTES)
    RING.expect(path, "record size", header.record_bytes, lib.KVMLOG_RECORD_BYTES)
    capacity = header.capacity
    if not is_capacity(capacity):
        raise _damaged(path, f"capacity {capacity}")
    geometry = Geometry(capacity, header.record_bytes)
    if file_bytes < geometry.file_bytes:
        raise _damaged(path, f"{file_bytes} bytes, its header says {geometry.file_bytes}")
    if header.state not in _STATES:
        raise _damaged(path, f"state {header.state}")


def is_capacity(slots: int) -> bool:
    """Return whether `slots` is a power of two within the limits of ring.h."""
    limits = lib.KVMLOG_RING_MIN_SLOTS <= slots <= lib.KVMLOG_RING_MAX_SLOTS
    return limits and slots & (slots - 1) == 0


def _damaged(path: str, what: str) -> RingFormatError:
    return RingFormatError(f"{path}: damaged ring ({what}); remove the file and restart the bridge")
