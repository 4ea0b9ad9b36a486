# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the statistics: copies in which no row is torn, and groups of their rows.

The file is described in include/uapi/kvmlog/statistics.h and docs/statistics.md; copying and
grouping are in bridge/native/statistics_read.c and statistics_query.c.
"""

from __future__ import annotations

import enum
import os
import struct
import time
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from kvmlog.native import ffi, lib
from kvmlog.ring.reader import boot_id
from kvmlog.ring.statistics.header import open_file, read_header
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import StatisticsError

SUFFIX: Final = ".statistics"

NO_RETURN: Final[int] = lib.KVMLOG_NO_RETURN
DETAIL_NONE: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_NONE
DETAIL_EXACT: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_EXACT
DETAIL_REGION: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_REGION
DETAIL_OTHER: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_OTHER
# How long after an exit its record may take to the file, beyond the writing once a second.
LATE_NS: Final[int] = lib.KVMLOG_STATISTICS_LATE_MS * 1_000_000
# A time that a calendar has, whatever a damaged file says: in the year 2116.
_LAST_NS: Final = 1 << 62
_POLL_S: Final = 0.02


# What C is about to fill need not be zeroed first.
_unset: Final[Any] = ffi.new_allocator(should_clear_after_alloc=False)


class By(enum.Flag):
    """What groups tell apart. RETURN: KVM_EXIT_*, why KVM_RUN returned to user space."""

    GUEST = lib.KVMLOG_BY_GUEST
    VCPU = lib.KVMLOG_BY_VCPU
    REASON = lib.KVMLOG_BY_REASON
    DETAIL = lib.KVMLOG_BY_DETAIL
    RETURN = lib.KVMLOG_BY_RETURN


class Row(NamedTuple):
    """One group. What was not asked apart is 0; all times in ns.

    kvm_ns to paused_ns are total_ns shared out. Percentiles are within 1.6 %; where `rough`, they
    are the upper edges of powers of two. Exits of nested guests, and halts, are always groups of
    their own.
    """

    guest: int  # key in Snapshot.guests
    vcpu: int
    isa: int  # enum kvmlog_isa
    reason: int  # without the flags of VMX
    nested: bool
    halt: bool
    detail: int
    detail_kind: int  # DETAIL_*
    user_reason: int  # KVM_EXIT_*, or NO_RETURN
    count: int  # type: ignore[assignment]  # hides tuple.count, which no row needs
    total_ns: int
    min_ns: int
    max_ns: int
    kvm_ns: int
    vmm_ns: int
    wait_ns: int
    idle_ns: int
    paused_ns: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    rough: bool


class StatisticsGuest(NamedTuple):
    """A guest of the table; tgid 0: its announcement has not come yet."""

    id: int
    number: int  # the source's, given last
    tgid: int
    start_boottime_ns: int
    cgroup: int
    comm: str
    isa: int
    first_ns: int  # CLOCK_MONOTONIC
    last_ns: int
    exits: int


class Snapshot:
    """A copy of the file, each row of one moment; counts of two rows may be some exits apart."""

    def __init__(self, path: str, native: Any, torn: int) -> None:
        self.path = path
        self._native = ffi.gc(native, lib.kvmlog_statistics_close)
        header = ffi.new("struct kvmlog_statistics_header *")
        lib.kvmlog_statistics_copied(self._native, header, ffi.NULL)
        self._capacity: int = header.guests_capacity
        self._most: int = header.reasons_used + header.rows_used
        guests = ffi.new("struct kvmlog_statistics_guest[]", self._capacity)
        lib.kvmlog_statistics_copied(self._native, header, guests)
        self.guests: dict[int, StatisticsGuest] = {
            number: guest_of(number, guests[number])
            for number in range(header.guests_used)
            if guests[number].state != lib.KVMLOG_STATISTICS_GUEST_FREE
        }
        self.statistics_id = bytes(header.statistics_id).hex()
        self.exits: int = header.exits
        self.overflow: int = header.overflow
        self.overflow_rows: int = header.overflow_row
        self.overflow_histogram: int = header.overflow_block
        self.forgotten: int = header.forgotten
        self.since_realtime_ns: int = min(header.since_realtime_ns, _LAST_NS)
        self.since_ns: int = header.since_ns
        self.folded_ns: int = header.folded_ns
        self.generation: int = header.generation
        self.torn = torn  # rows left out because the bridge died while it wrote them

    def rows(
        self, by: By, base: Snapshot | None = None, guests: Collection[int] | None = None
    ) -> list[Row]:
        """The groups of all rows, or of what came after `base`; of these guests, None: of all.

        After a reset in between all is new. StatisticsError for VCPU, DETAIL and RETURN together:
        those rows are not kept.
        """
        check_by(by)
        wanted = ffi.NULL
        if guests is not None:
            wanted = ffi.new("unsigned char[]", self._capacity)
            for number in guests:
                # Of an earlier copy, of a larger file, there may be others.
                if number < self._capacity:
                    wanted[number] = 1
        if base is not None and not self._continues(base):
            base = None
        groups = _unset("struct kvmlog_statistics_group[]", self._most + 1)
        count = lib.kvmlog_statistics_query(
            self._native,
            ffi.NULL if base is None else base._native,
            by.value,
            wanted,
            groups,
            self._most + 1,
        )
        if count < 0:
            raise StatisticsError(f"{self.path}: {os.strerror(-count)}")
        return list(map(Row._make, _GROUP.iter_unpack(ffi.buffer(groups, count * _GROUP.size))))

    def _continues(self, base: Snapshot) -> bool:
        same = self.statistics_id == base.statistics_id
        return same and self.since_ns == base.since_ns


class StatisticsReader(Closeable):
    """The statistics beside a ring, opened read-only; follows when the bridge replaces the file.

    Raises StatisticsError with a sentence that says what to do. One thread at a time.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._fd = -1
        self._native: Any = ffi.NULL
        self._open()

    def close(self) -> None:
        """Unmaps the file; a second call does nothing."""
        if self._native != ffi.NULL:
            lib.kvmlog_statistics_close(self._native)
            self._native = ffi.NULL
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def snapshot(self) -> Snapshot:
        """All that is in the file now."""
        self._follow()
        torn, error = ffi.new("__u64 *"), ffi.new("int *")
        copy = lib.kvmlog_statistics_snapshot(self._native, torn, error)
        if copy == ffi.NULL:
            raise StatisticsError(
                f"{self.path}: no copy could be made ({os.strerror(-error[0])}); try again, "
                "or restart the bridge"
            )
        return Snapshot(self.path, copy, torn[0])

    def wait_until(self, monotonic_ns: int, timeout_s: float = 5.0) -> bool:
        """Waits until all exits before that moment of CLOCK_MONOTONIC are in the file.

        False when they are not after the timeout, or when no bridge writes the file.
        """
        header = ffi.new("struct kvmlog_statistics_header *")
        deadline = time.monotonic() + timeout_s
        while True:
            self._follow()
            rc = lib.kvmlog_statistics_header_now(self._native, header)
            if rc < 0:
                raise StatisticsError(f"{self.path}: {os.strerror(-rc)}; restart the bridge")
            if header.folded_ns >= monotonic_ns + LATE_NS:
                return True
            running = header.state == lib.KVMLOG_STATISTICS_RUNNING
            if not running or bytes(header.boot_id) != boot_id():
                return False
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)

    def _open(self) -> None:
        fd = open_file(self.path, os.O_RDONLY)
        try:
            header = read_header(self.path, fd)
            native = lib.kvmlog_statistics_open(fd, header.file_bytes, 0)
            if native == ffi.NULL:
                raise StatisticsError(f"{self.path}: cannot be mapped: {os.strerror(ffi.errno)}")
            stat = os.fstat(fd)
        except BaseException:
            os.close(fd)
            raise
        self.close()
        self._fd, self._native = fd, native
        self._file_key = (stat.st_dev, stat.st_ino)

    def _follow(self) -> None:
        """Opens the file that has the name now, when it is another."""
        if self._fd < 0:
            raise StatisticsError(f"{self.path}: this reader is closed")
        try:
            named = os.stat(self.path)
        except OSError:
            return
        if (named.st_dev, named.st_ino) != self._file_key:
            self._open()


def check_by(by: By) -> None:
    """StatisticsError when such rows are not kept: of VCPU, DETAIL and RETURN only one can be."""
    asked = [one.name or "" for one in (By.VCPU, By.DETAIL, By.RETURN) if by & one]
    if len(asked) > 1:
        names = " and ".join(name.lower() for name in asked)
        raise StatisticsError(f"{names} are not counted together; ask for one of them at a time")


def guest_of(number: int, raw: Any) -> StatisticsGuest:
    """A struct kvmlog_statistics_guest as a tuple."""
    return StatisticsGuest(
        id=number,
        number=raw.number,
        tgid=raw.tgid,
        start_boottime_ns=raw.start_boottime_ns,
        cgroup=raw.cgroup,
        comm=ffi.string(ffi.cast("char *", raw.comm), len(raw.comm)).decode(
            "ascii", "backslashreplace"
        ),
        isa=raw.isa,
        first_ns=raw.first_ns,
        last_ns=raw.last_ns,
        exits=raw.exits,
    )


# struct kvmlog_statistics_group, which has the fields of Row in their order.
_GROUP: Final = struct.Struct("=IHBxI??xxQBxHxxxx" + "9Q" + "4Q" + "?7x")
if _GROUP.size != ffi.sizeof("struct kvmlog_statistics_group"):
    raise ImportError("statistics.py and struct kvmlog_statistics_group differ")
