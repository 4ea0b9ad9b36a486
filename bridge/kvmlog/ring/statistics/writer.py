# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics' one writer: creates or continues the file beside the ring, keeps room in it.

The counting of each exit is C (bridge/native). The ring's lock covers both files.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from kvmlog.native import ffi, lib
from kvmlog.ring import own_file
from kvmlog.ring.clocks import of_header
from kvmlog.ring.reader import boot_id
from kvmlog.ring.statistics.header import HEADER_BYTES, MAGIC, STATISTICS, layout, read_header
from kvmlog.ring.statistics.reader import StatisticsGuest, guest_of
from kvmlog.ring.writer import CLEANER, RingWriter
from kvmlog.util import ownership, permissions
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import DamagedFileError, StatisticsError, StatisticsMissingError, os_error
from kvmlog.util.log import log
from kvmlog.util.units import iso_time

_MIB: Final = 1 << 20
# When a smaller share of guests, reasons, histograms or rows is free, guests are forgotten ...
_LOW_ROOM: Final = 1 / 8
# ... until this share is free.
_ENOUGH_ROOM: Final = 1 / 4
_REMEDY: Final = "give fewer MiB (--statistics-mib, 0: none) or free some"
NONE: Final = "there were none"
_STATE_OFFSET: Final[int] = ffi.offsetof("struct kvmlog_statistics_header", "state")


class StatisticsWriter(Closeable):
    """The statistics at `path`, of `mib` MiB, beside the ring of `writer`.

    A file of the same boot and size is continued; any other is marked REPLACED and the statistics
    begin anew. `continued`: which of the two; `restart_reason`: why they begin anew, in words.
    StatisticsError when the file cannot be created.
    """

    def __init__(self, path: str, writer: RingWriter, mib: int) -> None:
        low, high = lib.KVMLOG_STATISTICS_MIN_MIB, lib.KVMLOG_STATISTICS_MAX_MIB
        if not low <= mib <= high:
            raise StatisticsError(f"{mib} MiB of statistics: give {low} to {high}, or 0 for none")
        self.path = path
        self._bytes = mib * _MIB
        self._writer = writer
        self.native: Any = ffi.NULL
        self._map: Any = ffi.NULL
        self._fd = -1
        self.restart_reason = self._continue()
        self.continued = not self.restart_reason
        if self.restart_reason:
            self._begin_anew()
        try:
            lib.kvmlog_statistics_state(self.native, lib.KVMLOG_STATISTICS_RUNNING)
            writer.set_statistics(bytes(self.header().statistics_id))
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Write what is left and set the state STOPPED; a second call does nothing."""
        if self.native != ffi.NULL:
            lib.kvmlog_statistics_flush(self.native)
            # Damaged ones stay marked as replaced.
            if not lib.kvmlog_statistics_damaged(self.native):
                lib.kvmlog_statistics_state(self.native, lib.KVMLOG_STATISTICS_STOPPED)
        self._release()

    def header(self) -> Any:
        """Return a copy of the header, struct kvmlog_statistics_header."""
        header = ffi.new("struct kvmlog_statistics_header *")
        lib.kvmlog_statistics_describe(self.native, header)
        return header

    def begin(self, fresh: bool) -> None:
        """Prepare for tracing that is about to begin.

        fresh: the source's guest numbers begin again.
        """

        lib.kvmlog_statistics_begin(self.native, int(fresh))

    def flush(self) -> None:
        """Bring the file up to date; the pump does so once a second."""
        lib.kvmlog_statistics_flush(self.native)

    def reset(self) -> None:
        """Set all counts to zero."""
        lib.kvmlog_statistics_reset(self.native, time.time_ns())

    def keep(self) -> str:
        """Make the file anew under its name where it was removed, as RingWriter.keep()."""
        if lib.kvmlog_statistics_damaged(self.native):
            raise DamagedFileError(
                f"{self.path}: somebody else wrote into the statistics; ending: start the bridge "
                "again (its service does), which begins new ones"
            )
        if own_file.has_name(self.path, self._fd):
            return ""
        foreign = self._foreign()
        if foreign:
            return (
                f"{self.path}: another file has the name of the statistics ({foreign}); exits are "
                "counted in the nameless file until that one is removed"
            )
        self._move()
        log(f"{self.path}: had been removed or replaced ({CLEANER}); made anew with all counts")
        return ""

    def guests(self) -> list[StatisticsGuest]:
        """Return the table of guests."""
        return self._list().guests

    def make_room(self, alive: Callable[[StatisticsGuest], bool]) -> int:
        """Forget guests that are not alive, those whose last exit is oldest first.

        A process of several VMs also loses guests that it had when tracing was on before. Do
        nothing while an eighth of every part is free. Return how many were forgotten.
        """
        header = self.header()
        room = _room(header)
        if room >= _LOW_ROOM:
            return 0
        table = self._list()
        unused = _cannot_go_on(table)
        ended = sorted(
            (guest for guest in table.guests if guest.id in unused or not alive(guest)),
            key=lambda guest: guest.last_ns,
        )
        # Guests differ in the room they take: forget half of them, and more if that was too little.
        while ended and room < _ENOUGH_ROOM:
            part, ended = ended[: len(ended) // 2 + 1], ended[len(ended) // 2 + 1 :]
            forgotten = ffi.new("unsigned char[]", header.guests_capacity)
            for guest in part:
                forgotten[guest.id] = 1
            lib.kvmlog_statistics_forget(self.native, forgotten, table.raw)
            room = _room(self.header())
        return int(self.header().guests_forgotten - header.guests_forgotten)

    def describe(self) -> dict[str, Any]:
        """Return the statistics' part of the status answer."""
        header = self.header()
        clocks = of_header(self._writer.header())
        return {
            "path": os.path.abspath(self.path),
            "statistics_id": bytes(header.statistics_id).hex(),
            "bytes": header.file_bytes,
            "since": iso_time(*clocks.of(header.since_realtime_ns)),
            "since_realtime_ns": header.since_realtime_ns,
            "exits": header.exits,
            "overflow": header.overflow,
            "overflow_rows": header.overflow_row,
            "overflow_histogram": header.overflow_block,
            "forgotten": header.forgotten,
            "guests": header.guests_capacity - header.guests_free,
            "room": round(_room(header), 3),
        }

    def _list(self) -> _Table:
        capacity = self.header().guests_capacity
        raw = ffi.new("struct kvmlog_statistics_guest[]", capacity)
        retired = ffi.new("unsigned char[]", capacity)
        lib.kvmlog_statistics_list(self.native, raw, retired)
        free = lib.KVMLOG_STATISTICS_GUEST_FREE
        guests = [guest_of(i, raw[i]) for i in range(capacity) if raw[i].state != free]
        return _Table(raw, guests, {guest.id for guest in guests if retired[guest.id]})

    def _continue(self) -> str:
        """Continue the file that is there; return why it cannot be done, or ""."""
        try:
            fd = own_file.open_own(STATISTICS, self.path)
        except StatisticsMissingError:
            return NONE
        try:
            own_file.refuse_foreign(self.path, fd, MAGIC, _ForeignFileError)
            header = read_header(self.path, fd)
        except StatisticsError as error:
            os.close(fd)
            if isinstance(error, _ForeignFileError):
                raise
            return str(error)
        why_not = ""
        if header.file_bytes != self._bytes:
            why_not = f"they had {header.file_bytes // _MIB} MiB"
        elif header.state == lib.KVMLOG_STATISTICS_REPLACED:
            why_not = "somebody else had written into them"
        elif bytes(header.boot_id) != boot_id():
            why_not = "they were of an earlier boot"
        else:
            killed = header.state == lib.KVMLOG_STATISTICS_RUNNING
            try:
                why_not = self._open(fd)
            except BaseException:
                os.close(fd)
                raise
            if not why_not and killed:
                log(f"{self.path}: the last bridge was killed; continued up to its last second")
        if why_not:
            _mark_replaced(fd)
            os.close(fd)
        return why_not

    def _foreign(self) -> str:
        """Return what has the name and is neither missing nor a copy, in words."""
        found = ownership.name_objection(self.path)
        if found or not os.path.lexists(self.path):
            return found
        with contextlib.suppress(StatisticsMissingError):
            fd = STATISTICS.open(self.path)
            try:
                raw = os.pread(fd, HEADER_BYTES, 0)
            finally:
                os.close(fd)
            at = ffi.offsetof("struct kvmlog_statistics_header", "statistics_id")
            own = bytes(self.header().statistics_id)
            if not raw.startswith(MAGIC):
                return "it holds no statistics"
            return "" if raw[at : at + len(own)] == own else "other statistics"
        return ""

    def _move(self) -> None:
        """Go on in a new file under the name."""

        def fill(fd: int) -> None:
            self._fill_header(fd)
            fresh = lib.kvmlog_statistics_open(fd, self._bytes, 1)
            if fresh == ffi.NULL:
                raise self._unusable(ffi.errno)
            if lib.kvmlog_statistics_move(self.native, fresh):
                lib.kvmlog_statistics_close(fresh)
                raise StatisticsError(f"{self.path}: cannot be moved: of another size; {_REMEDY}")
            lib.kvmlog_statistics_close(self._map)
            os.close(self._fd)
            # Also where it does not get the name: it is what is counted in.
            self._map, self._fd = fresh, os.dup(fd)

        permissions.make_parent(self.path)
        os.close(own_file.make(self.path, self._bytes, fill, StatisticsError, _REMEDY))

    def _open(self, fd: int) -> str:
        """Map the file and continue it; return why it cannot be done, or ""."""
        native_map = lib.kvmlog_statistics_open(fd, self._bytes, 1)
        if native_map == ffi.NULL:
            raise self._unusable(ffi.errno)
        error = ffi.new("int *")
        native = lib.kvmlog_statistics_new(self._writer.native, native_map, error)
        if native == ffi.NULL:
            lib.kvmlog_statistics_close(native_map)
            if error[0] == -errno.EBADMSG:
                return "they were left in the middle of an update"
            raise self._unusable(-error[0])
        self._fd, self._map, self.native = fd, native_map, native
        return ""

    def _unusable(self, number: int) -> StatisticsError:
        """Return the error for a file that is right, and that the machine does not let us use."""
        failure = os_error(number)
        error = StatisticsError(f"{self.path}: cannot be used: {failure.strerror}")
        error.__cause__ = failure
        return error

    def _begin_anew(self) -> None:
        fd = self._make()
        try:
            why_not = self._open(fd)
            if why_not:
                raise StatisticsError(f"{self.path}: cannot be used: {why_not}")
        except BaseException:
            os.close(fd)
            raise

    def _make(self) -> int:
        """Create a new file under its final name; return its descriptor."""
        return own_file.make(
            self.path,
            self._bytes,
            self._fill_header,
            StatisticsError,
            _REMEDY,
        )

    def _fill_header(self, fd: int) -> None:
        """Write everything but the magic, then the magic."""
        header = layout(self._bytes)
        header.format_version = lib.KVMLOG_STATISTICS_FORMAT_VERSION
        header.schema_version = lib.KVMLOG_SCHEMA_VERSION
        header.state = lib.KVMLOG_STATISTICS_STOPPED
        header.statistics_id = secrets.token_bytes(16)
        header.boot_id = boot_id()
        header.since_realtime_ns = time.time_ns()
        header.since_ns = time.monotonic_ns()
        os.pwrite(fd, bytes(ffi.buffer(header)), 0)
        os.pwrite(fd, MAGIC, 0)

    def _release(self) -> None:
        if self.native != ffi.NULL:
            lib.kvmlog_statistics_free(self.native)
            self.native = ffi.NULL
        if self._map != ffi.NULL:
            lib.kvmlog_statistics_close(self._map)
            self._map = ffi.NULL
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _ForeignFileError(StatisticsError):
    """A file of another kind at the path of the statistics."""


class _Table(NamedTuple):
    """The table of guests, also as C has it.

    retired: ids of guests that were announced before tracing was last switched on.
    """

    raw: Any
    guests: list[StatisticsGuest]
    retired: set[int]


def _cannot_go_on(table: _Table) -> set[int]:
    """Return the ids of guests whose process lives, but that no VM can be matched to any more.

    Two VMs in one process cannot be told apart when tracing is switched on again: they become new
    guests each time. The last two are kept, since a single one would be taken for the next VM that
    is announced (bridge/native).
    """
    processes = collections.defaultdict(list)
    for guest in table.guests:
        if guest.start_boottime_ns:
            processes[guest.tgid, guest.start_boottime_ns].append(guest)
    unused: set[int] = set()
    for guests in processes.values():
        earlier = [guest for guest in guests if guest.id in table.retired]
        earlier.sort(key=lambda guest: guest.last_ns)
        unused.update(guest.id for guest in earlier[: max(0, len(guests) - 2)])
    return unused


def _room(header: Any) -> float:
    """Return the smallest free share of guests, reasons, histograms and rows."""
    room: float = min(
        header.guests_free / header.guests_capacity,
        header.reasons_free / header.reasons_capacity,
        header.blocks_free / header.blocks_capacity,
        header.rows_free / header.rows_capacity,
    )
    return room


def _mark_replaced(fd: int) -> None:
    """Tell readers that have the old file open."""
    os.pwrite(fd, int(lib.KVMLOG_STATISTICS_REPLACED).to_bytes(4, "little"), _STATE_OFFSET)
