# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics' readers: copies without torn rows, and groups of their rows.

include/uapi/kvmlog/statistics.h and docs/statistics.md describe the file; copying and grouping are
C (bridge/native).
"""

from __future__ import annotations

import enum
import os
import struct
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from kvmlog.native import ffi, lib
from kvmlog.ring import mapped_file
from kvmlog.ring.reader import boot_id
from kvmlog.ring.statistics.header import STATISTICS, read_header
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import StatisticsError, StatisticsMissingError, os_error

SUFFIX: Final = ".statistics"

NO_RETURN: Final[int] = lib.KVMLOG_NO_RETURN
HANDLER_L0: Final[int] = lib.KVMLOG_HANDLER_L0
HANDLER_L1: Final[int] = lib.KVMLOG_HANDLER_L1
DETAIL_NONE: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_NONE
DETAIL_EXACT: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_EXACT
DETAIL_REGION: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_REGION
DETAIL_OTHER: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_OTHER
DETAIL_DEVICE: Final[int] = lib.KVMLOG_STATISTICS_DETAIL_DEVICE
# How long an exit's record may take to the bridge.
LATE_NS: Final[int] = lib.KVMLOG_STATISTICS_LATE_MS * 1_000_000
# How often the bridge writes by itself what it has received.
FOLD_S: Final[float] = lib.KVMLOG_STATISTICS_FOLD_MS / 1_000
OCTAVES: Final[int] = lib.KVMLOG_HISTOGRAM_OCTAVES
# A damaged file may hold any number; datetime takes this one (in the year 2116).
_LAST_NS: Final = 1 << 62
_POLL_S: Final = 0.02


# For memory that C fills: zeroing it first would be wasted.
_new_uninitialized: Final[Any] = ffi.new_allocator(should_clear_after_alloc=False)


class By(enum.Flag):
    """Grouping keys of exits. RETURN: KVM_EXIT_*, why KVM_RUN returned to user space."""

    GUEST = lib.KVMLOG_BY_GUEST
    VCPU = lib.KVMLOG_BY_VCPU
    REASON = lib.KVMLOG_BY_REASON
    DETAIL = lib.KVMLOG_BY_DETAIL
    RETURN = lib.KVMLOG_BY_RETURN


class Row(NamedTuple):
    """One group; times in ns. Fields that it is not grouped by are 0.

    kvm_ns to paused_ns are the parts of total_ns. Percentiles are within 1.6 %; where `rough`, they
    are the upper bounds of powers of two. Exits of nested guests, and halts, always have groups of
    their own.
    """

    guest: int  # key in Snapshot.guests
    vcpu: int
    isa: int  # enum kvmlog_isa
    reason: int  # without the flags of VMX
    nested: bool
    handler: int  # HANDLER_*, of nested exits
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


class Histogram(NamedTuple):
    """One reason of one guest since the statistics began; times in ns.

    octaves: exits by duration, octave k those of up to OCTAVE_ENDS_NS[k]; they may be fewer than
    `count`, where the file had no room (Snapshot.overflow_histogram).
    """

    guest: int  # key in Snapshot.guests
    isa: int  # enum kvmlog_isa
    reason: int  # without the flags of VMX
    nested: bool
    handler: int  # HANDLER_*, of nested exits
    halt: bool
    count: int  # type: ignore[assignment]  # hides tuple.count, which no histogram needs
    total_ns: int
    kvm_ns: int
    vmm_ns: int
    wait_ns: int
    idle_ns: int
    paused_ns: int
    octaves: tuple[int, ...]


OCTAVE_ENDS_NS: Final = tuple(
    (lib.KVMLOG_HISTOGRAM_STEPS << octave) - 1 for octave in range(lib.KVMLOG_HISTOGRAM_OCTAVES)
)


class StatisticsGuest(NamedTuple):
    """A guest of the table; tgid 0: it has not been announced yet."""

    id: int
    number: int  # the last one that the source gave it
    tgid: int
    start_boottime_ns: int
    cgroup: int
    comm: str
    isa: int
    first_ns: int  # CLOCK_MONOTONIC
    last_ns: int
    exits: int


class Fold(NamedTuple):
    """A state of the file: of which statistics, reset when, and complete up to when."""

    statistics_id: str
    since_ns: int  # CLOCK_MONOTONIC
    folded_ns: int  # CLOCK_MONOTONIC: all that had come until then is counted


class Snapshot:
    """A copy of the file. Each row is of one moment; counts of two rows may be some exits apart."""

    def __init__(self, path: str, native: Any, torn: int) -> None:
        self.path = path
        self._native = ffi.gc(native, lib.kvmlog_statistics_close)
        header = ffi.new("struct kvmlog_statistics_header *")
        lib.kvmlog_statistics_copied(self._native, header, ffi.NULL)
        self._capacity: int = header.guests_capacity
        self._rows_used: int = header.reasons_used + header.rows_used
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

    @property
    def fold(self) -> Fold:
        """Return what state of the file it is a copy of."""
        return Fold(self.statistics_id, self.since_ns, self.folded_ns)

    def rows(
        self,
        by: By,
        base: Snapshot | None = None,
        guests: Collection[int] | None = None,
        regions: Sequence[tuple[int, int, int]] = (),
    ) -> list[Row]:
        """Return the groups of all rows, or of the exits since `base`.

        guests: ids of the only guests to count; None: all. regions: first and last address, in
        order, and bytes of each device (0: all is one), by which addresses of devices are grouped;
        none: by address. After a reset in between `base` is ignored. StatisticsError for more than
        one of VCPU, DETAIL and RETURN: those rows are not kept.
        """
        return self._groups(by, base, guests, regions, octaves=False)[0]

    def distributions(
        self,
        by: By,
        base: Snapshot | None = None,
        guests: Collection[int] | None = None,
        regions: Sequence[tuple[int, int, int]] = (),
    ) -> list[tuple[Row, tuple[int, ...]]]:
        """Return the same groups, each with how many of its exits are in each of OCTAVES octaves.

        Octave 0 has durations below 32 ns, octave k those from 2^(k+4) ns to below twice that, the
        last one all longer ones too. StatisticsError by RETURN, too: no octaves are kept of these.
        """
        check_octaves(by)
        rows, counts = self._groups(by, base, guests, regions, octaves=True)
        return list(zip(rows, _COUNTS.iter_unpack(counts), strict=True))

    def _groups(
        self,
        by: By,
        base: Snapshot | None,
        guests: Collection[int] | None,
        regions: Sequence[tuple[int, int, int]],
        octaves: bool,
    ) -> tuple[list[Row], Any]:
        check_by(by)
        question = ffi.new("struct kvmlog_statistics_question *")
        question.by = by.value
        layout = ffi.new("struct kvmlog_statistics_region[]", list(regions))
        question.regions, question.regions_count = layout, len(regions)
        selected = ffi.NULL
        if guests is not None:
            selected = ffi.new("unsigned char[]", self._capacity)
            for number in guests:
                # An id of an earlier copy, of a larger file, may be beyond this one's table.
                if number < self._capacity:
                    selected[number] = 1
        if base is not None and not self._continues(base):
            base = None
        question.guests = selected
        groups = _new_uninitialized("struct kvmlog_statistics_group[]", self._rows_used + 1)
        counts = _new_uninitialized("__u64[]", (self._rows_used + 1) * OCTAVES if octaves else 0)
        question.octaves = counts if octaves else ffi.NULL
        count = lib.kvmlog_statistics_query(
            self._native,
            ffi.NULL if base is None else base._native,
            question,
            groups,
            self._rows_used + 1,
        )
        if count < 0:
            raise StatisticsError(f"{self.path}: {os.strerror(-count)}")
        rows = list(map(Row._make, _GROUP.iter_unpack(ffi.buffer(groups, count * _GROUP.size))))
        return rows, ffi.buffer(counts, count * _COUNTS.size if octaves else 0)

    def histograms(self) -> list[Histogram]:
        """Return each reason of each guest, as finely as the file keeps them apart."""
        found = _new_uninitialized("struct kvmlog_statistics_histogram[]", self._rows_used + 1)
        count = lib.kvmlog_statistics_histograms(self._native, found, self._rows_used + 1)
        return [
            Histogram(
                guest=one[0],
                reason=one[1],
                isa=one[2],
                nested=one[3],
                handler=one[4],
                halt=one[5],
                count=one[6],
                total_ns=one[7],
                kvm_ns=one[10],
                vmm_ns=one[11],
                wait_ns=one[12],
                idle_ns=one[13],
                paused_ns=one[14],
                octaves=one[15:],
            )
            for one in _HISTOGRAM.iter_unpack(ffi.buffer(found, count * _HISTOGRAM.size))
        ]

    def _continues(self, base: Snapshot) -> bool:
        same = self.statistics_id == base.statistics_id
        return same and self.since_ns == base.since_ns


class _Mapping(Closeable):
    """One statistics file, open and mapped read-only."""

    def __init__(self, path: str) -> None:
        self.fd = STATISTICS.open(path)
        try:
            self.file_key = mapped_file.file_key(self.fd)
            header = read_header(path, self.fd)
            self.native: Any = lib.kvmlog_statistics_open(self.fd, header.file_bytes, 0)
            if self.native == ffi.NULL:
                failure = os_error(ffi.errno)
                raise StatisticsError(f"{path}: cannot be mapped: {failure.strerror}") from failure
        except BaseException:
            os.close(self.fd)
            raise

    def close(self) -> None:
        if self.fd >= 0:
            lib.kvmlog_statistics_close(self.native)
            os.close(self.fd)
            self.fd = -1


class StatisticsReader(Closeable):
    """The statistics beside a ring, opened read-only; opens the new file when it is replaced.

    StatisticsError where they cannot be read. Not thread-safe.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._map: _Mapping | None = _Mapping(self.path)

    def close(self) -> None:
        """Unmap the file; a second call does nothing."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def snapshot(self) -> Snapshot:
        """Return a copy of the file as it is now."""
        torn, error = ffi.new("__u64 *"), ffi.new("int *")
        copy = lib.kvmlog_statistics_snapshot(self._follow().native, torn, error)
        if copy == ffi.NULL:
            failure = os_error(-error[0])
            raise StatisticsError(
                f"{self.path}: no copy could be made ({failure.strerror}); try again, "
                "or restart the bridge"
            ) from failure
        return Snapshot(self.path, copy, torn[0])

    def fold(self) -> Fold:
        """Return what a snapshot made now would be of."""
        header = self._header()
        return Fold(bytes(header.statistics_id).hex(), header.since_ns, header.folded_ns)

    def wait_until(
        self, monotonic_ns: int, ask: Callable[[], object] = bool, timeout_s: float = 5.0
    ) -> bool:
        """Wait until all that came before that moment of CLOCK_MONOTONIC is in the file.

        ask: called when the moment has come, and again and again, to have the bridge write at once.
        Return False when it is not there after the timeout, or when no bridge writes the file.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            header = self._header()
            if header.folded_ns >= monotonic_ns:
                return True
            running = header.state == lib.KVMLOG_STATISTICS_RUNNING
            if not running or bytes(header.boot_id) != boot_id():
                return False
            if time.monotonic() > deadline:
                return False
            left_s = (monotonic_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                ask()
                left_s = _POLL_S
            time.sleep(min(left_s, _POLL_S))

    def _header(self) -> Any:
        header = ffi.new("struct kvmlog_statistics_header *")
        rc = lib.kvmlog_statistics_header_now(self._follow().native, header)
        if rc < 0:
            raise StatisticsError(f"{self.path}: {os.strerror(-rc)}; restart the bridge")
        return header

    def _follow(self) -> _Mapping:
        """Return the mapping of the file that has the name now."""
        if self._map is None:
            raise StatisticsError(f"{self.path}: this reader is closed")
        if mapped_file.is_replaced(self.path, self._map.file_key):
            try:
                fresh = _Mapping(self.path)
            except StatisticsMissingError:
                return self._map
            self._map.close()
            self._map = fresh
        return self._map


def check_by(by: By) -> None:
    """Raise StatisticsError for two of VCPU, DETAIL and RETURN: such rows are not kept."""
    apart = [one.name or "" for one in (By.VCPU, By.DETAIL, By.RETURN) if by & one]
    if len(apart) > 1:
        names = " and ".join(name.lower() for name in apart)
        raise StatisticsError(f"{names} are not counted together; ask for one of them at a time")


def check_octaves(by: By) -> None:
    """Raise StatisticsError for groups of which no distribution of durations is kept."""
    if By.RETURN in by:
        raise StatisticsError(
            "no distribution of durations is kept by return; group by guest, reason, vcpu or detail"
        )


def guest_of(number: int, raw: Any) -> StatisticsGuest:
    """Convert a struct kvmlog_statistics_guest to a tuple."""
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
_GROUP: Final = struct.Struct("=IHBxI?B?xQBxHxxxx" + "9Q" + "4Q" + "?7x")
_COUNTS: Final = struct.Struct(f"={OCTAVES}Q")
if _GROUP.size != ffi.sizeof("struct kvmlog_statistics_group"):
    raise ImportError("reader.py and struct kvmlog_statistics_group differ")
_HISTOGRAM: Final = struct.Struct(f"=IIB?B?4x9Q{lib.KVMLOG_HISTOGRAM_OCTAVES}Q")
if _HISTOGRAM.size != ffi.sizeof("struct kvmlog_statistics_histogram"):
    raise ImportError("reader.py and struct kvmlog_statistics_histogram differ")
