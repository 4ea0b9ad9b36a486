# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics' one writer: makes or continues the file beside the ring, keeps room in it.

What is done per exit is C (bridge/native/statistics_take.c); the ring's lock makes the writer of
both files single.
"""

from __future__ import annotations

import collections
import errno
import os
import secrets
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from kvmlog.native import ffi, lib
from kvmlog.ring import mapped_file
from kvmlog.ring.reader import boot_id
from kvmlog.ring.statistics.header import MAGIC, layout, open_file, read_header
from kvmlog.ring.statistics.reader import StatisticsGuest, guest_of
from kvmlog.ring.writer import RingWriter
from kvmlog.util.errors import StatisticsError, StatisticsMissingError
from kvmlog.util.log import log

_MIB: Final = 1 << 20
# Room is made when less than this share of guests, reasons, histograms or rows is free, ...
_TIGHT: Final = 1 / 8
# ... until so much is.
_ROOMY: Final = 1 / 4
NONE: Final = "there were none"
_STATE_OFFSET: Final[int] = ffi.offsetof("struct kvmlog_statistics_header", "state")


class StatisticsWriter:
    """The statistics at `path`, of `mib` MiB, beside the ring of `writer`.

    Those of the same boot and size go on; others are marked REPLACED and begun anew. `continued`
    says which, `began` why in words. StatisticsError when the file cannot be made.
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
        lib.kvmlog_statistics_state(self.native, lib.KVMLOG_STATISTICS_RUNNING)
        writer.set_statistics(bytes(self.header().statistics_id))

    def close(self) -> None:
        """Writes what is still to be written and ends in order; a second call does nothing."""
        if self.native != ffi.NULL:
            lib.kvmlog_statistics_flush(self.native)
            lib.kvmlog_statistics_state(self.native, lib.KVMLOG_STATISTICS_STOPPED)
        self._release()

    def header(self) -> Any:
        """A copy of the header, struct kvmlog_statistics_header."""
        header = ffi.new("struct kvmlog_statistics_header *")
        lib.kvmlog_statistics_describe(self.native, header)
        return header

    def begin(self, fresh: bool) -> None:
        """Tracing is about to be switched on; fresh: by a source whose numbers begin again."""
        lib.kvmlog_statistics_begin(self.native, int(fresh))

    def flush(self) -> None:
        """Brings the file up to date; the pump does so once a second."""
        lib.kvmlog_statistics_flush(self.native)

    def reset(self) -> None:
        """All counts begin again at nothing."""
        lib.kvmlog_statistics_reset(self.native, time.time_ns())

    def guests(self) -> list[StatisticsGuest]:
        """The table of guests."""
        return self._list().guests

    def make_room(self, alive: Callable[[StatisticsGuest], bool]) -> int:
        """Forgets guests that are not alive, those first that exited last long ago.

        Of a process of several VMs, those too that it had under earlier switchings on. Does nothing
        while an eighth of everything is free. Returns how many were forgotten.
        """
        header = self.header()
        room = _room(header)
        if room >= _TIGHT:
            return 0
        table = self._list()
        unused = _cannot_go_on(table)
        ended = sorted(
            (guest for guest in table.guests if guest.id in unused or not alive(guest)),
            key=lambda guest: guest.last_ns,
        )
        # Guests are not alike in what they take: half of them, and more when that was too little.
        while ended and room < _ROOMY:
            part, ended = ended[: len(ended) // 2 + 1], ended[len(ended) // 2 + 1 :]
            forgotten = ffi.new("unsigned char[]", header.guests_capacity)
            for guest in part:
                forgotten[guest.id] = 1
            lib.kvmlog_statistics_forget(self.native, forgotten, table.raw)
            room = _room(self.header())
        return int(self.header().guests_forgotten - header.guests_forgotten)

    def describe(self) -> dict[str, Any]:
        """For the status answer."""
        header = self.header()
        return {
            "path": os.path.abspath(self.path),
            "statistics_id": bytes(header.statistics_id).hex(),
            "bytes": header.file_bytes,
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
        """Goes on with the file that is there; or why it cannot be done, in words."""
        try:
            fd = open_file(self.path, os.O_RDWR)
        except StatisticsMissingError:
            return NONE
        try:
            mapped_file.refuse_foreign(self.path, fd, MAGIC, _ForeignFileError)
            header = read_header(self.path, fd)
        except StatisticsError as error:
            os.close(fd)
            if isinstance(error, _ForeignFileError):
                raise
            return str(error)
        why_not = ""
        if header.file_bytes != self._bytes:
            why_not = f"they had {header.file_bytes // _MIB} MiB"
        elif bytes(header.boot_id) != boot_id():
            why_not = "they were of an earlier boot"
        else:
            killed = header.state == lib.KVMLOG_STATISTICS_RUNNING
            why_not = self._open(fd)
            if not why_not and killed:
                log(f"{self.path}: the last bridge was killed; up to its last second they go on")
        if why_not:
            _mark_replaced(fd)
            os.close(fd)
        return why_not

    def _open(self, fd: int) -> str:
        """Maps the file and goes on with it; or why not."""
        native_map = lib.kvmlog_statistics_open(fd, self._bytes, 1)
        if native_map == ffi.NULL:
            return os.strerror(ffi.errno)
        error = ffi.new("int *")
        native = lib.kvmlog_statistics_new(self._writer.native, native_map, error)
        if native == ffi.NULL:
            lib.kvmlog_statistics_close(native_map)
            if error[0] == -errno.EBADMSG:
                return "they were left in the middle of an update"
            return os.strerror(-error[0])
        self._fd, self._map, self.native = fd, native_map, native
        return ""

    def _begin_anew(self) -> None:
        fd = self._make()
        why_not = self._open(fd)
        if why_not:
            os.close(fd)
            raise StatisticsError(f"{self.path}: cannot be used: {why_not}")

    def _make(self) -> int:
        """A new file under its final name; its descriptor."""
        return mapped_file.make(
            self.path,
            self._bytes,
            self._fill_header,
            StatisticsError,
            "give fewer MiB (--statistics-mib, 0: none) or free some",
        )

    def _fill_header(self, fd: int) -> None:
        """Everything but the magic, then the magic."""
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
    """Something else stands where the statistics should."""


class _Table(NamedTuple):
    """The table of guests, also as C has it; `retired`: announced before the last switching on."""

    raw: Any
    guests: list[StatisticsGuest]
    retired: set[int]


def _cannot_go_on(table: _Table) -> set[int]:
    """Guests whose process lives, but which no VM is taken for any more (statistics_guests.c).

    Of two VMs in one process nobody can tell which was which, so that each switching on makes new
    guests of them. The last two stay: a single one would be taken for the next VM announced.
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
    """The smallest share that is still free, of guests, reasons, histograms and rows."""
    room: float = min(
        header.guests_free / header.guests_capacity,
        header.reasons_free / header.reasons_capacity,
        header.blocks_free / header.blocks_capacity,
        header.rows_free / header.rows_capacity,
    )
    return room


def _mark_replaced(fd: int) -> None:
    """Tells readers that hold the old file open."""
    os.pwrite(fd, int(lib.KVMLOG_STATISTICS_REPLACED).to_bytes(4, "little"), _STATE_OFFSET)
