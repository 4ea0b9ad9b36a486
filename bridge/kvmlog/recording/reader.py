# SPDX-License-Identifier: GPL-2.0-or-later
"""The reader of a recording. It may be damaged, cut or forged: nothing in it is believed unchecked.

Opening walks over all blocks and reads those of text; blocks of records are read when they are
asked for, one at a time.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from kvmlog.guests import model
from kvmlog.guests.model import Guest, GuestError
from kvmlog.guests.table import GuestTable
from kvmlog.recording import format as blocks
from kvmlog.recording import tally
from kvmlog.recording.format import (
    BLOCK_BYTES,
    RECORDS,
    START_BYTES,
    Block,
    DamagedBlockError,
    RecordingError,
)
from kvmlog.recording.header import End, Header, clocks_of, end_of, header_of
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.statistics.reader import Snapshot
from kvmlog.util.closeable import Closeable

__all__ = ["DamagedBlockError", "Recording", "RecordingError"]

# More than a host starts within a recording: only a forged file has more.
_GUESTS_MOST: Final = 8 * model.RUNNING_MOST
# Of text in all, unpacked.
_TEXT_MOST: Final = 256 << 20


class _Place(NamedTuple):
    """A block and where its content begins."""

    block: Block
    offset: int


class Recording(Closeable):
    """A recording, opened to be read; RecordingError where there is none.

    header, end (None: it was cut, its writer was killed or ran out of room): as the file says.
    records, lost_records: in all whole blocks. first_ns, last_ns: least and greatest time of
    a record, 0 without records. damaged: what could not be read until now, a sentence each.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.damaged: list[str] = []
        self.records = 0
        self.lost_records = 0
        self.first_ns = 0
        self.last_ns = 0
        self.end: End | None = None
        self._guests: dict[tuple[int, int], Guest] = {}
        self._text_bytes = 0
        self._walked = START_BYTES
        self._clocks: Clocks | None = None
        self._fd = _open(self.path)
        try:
            blocks.check_start(self.path, os.pread(self._fd, START_BYTES, 0))
            self.header = self._first_block()
            self._walk()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def guests(self) -> GuestTable:
        """Return the guests, each as it was written last."""
        return GuestTable(list(self._guests.values()))

    def clocks(self) -> Clocks:
        """Return what gives each record the time of day that held then."""
        assert self._clocks is not None
        return self._clocks

    def blocks(self, *, since_ns: int = 0, until_ns: int = 2**64 - 1) -> Iterator[bytes]:
        """Yield the records, whole ones, in the order of the file, a block at a time.

        since_ns, until_ns: leave out blocks that have no record from and until then; the others
        are whole. A damaged block is left out and told in `damaged`.
        """
        for place in self._places():
            block = place.block
            if block.kind == RECORDS and block.last_ns >= since_ns and block.first_ns <= until_ns:
                yield from self._records(place)

    def more(self) -> Iterator[bytes]:
        """Yield the records that were written since it was opened, or since the last call."""
        for place in self._places(self._walked):
            self._take(place)
            if place.block.kind == RECORDS:
                yield from self._records(place)

    def statistics(self) -> Snapshot:
        """Return the statistics of all records, counted as the bridge counts exits."""
        guests = self._guests.values()
        return tally.snapshot(self.path, self.header, guests, self.blocks(), self.last_ns)

    def is_cut(self) -> bool:
        """Return whether the recording has no end: it is being written, or its writer died."""
        return self.end is None

    def is_being_written(self) -> bool:
        """Return whether the recording has no end yet, and its writer lives."""
        if self.end is not None:
            return False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # a file system without locks
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    def _first_block(self) -> Header:
        place = self._place(START_BYTES)
        if place is None:
            raise RecordingError(
                f"{self.path}: cut short before its first block, nothing was recorded; record again"
            )
        try:
            if place.block.kind != blocks.HEADER:
                raise DamagedBlockError("it does not begin with a header")
            return header_of(blocks.json_of(place.block, self._content(place)))
        except DamagedBlockError as error:
            raise RecordingError(f"{self.path}: damaged: {error}; use a copy that is not") from None

    def _walk(self) -> None:
        """Read all blocks of text, and count the records in the others."""
        for place in self._places():
            self._take(place)
        if self._clocks is None:
            raise RecordingError(
                f"{self.path}: cut short before its clocks, nothing was recorded; record again"
            )

    def _take(self, place: _Place) -> None:
        """Take note of a block."""
        block = place.block
        self._walked = place.offset + block.stored_bytes
        self.lost_records = max(self.lost_records, block.lost_records)
        if block.kind == RECORDS:
            first_ns = self.first_ns if self.records else block.first_ns
            self.first_ns = min(first_ns, block.first_ns)
            self.last_ns = max(self.last_ns, block.last_ns)
            self.records += block.records
            return
        self._text_bytes += block.plain_bytes
        if self._text_bytes > _TEXT_MOST:
            raise RecordingError(
                f"{self.path}: damaged: more text than a recording has; use a copy that is not"
            )
        try:
            self._take_text(place)
        except DamagedBlockError as error:
            self._tell_damage(str(error))

    def _records(self, place: _Place) -> Iterator[bytes]:
        """Yield the records of a block; none where it is damaged."""
        try:
            yield blocks.records_of(place.block, self._content(place))
        except DamagedBlockError as error:
            count = place.block.records
            self._tell_damage(f"{error}: {count} records from {place.offset} on are left out")

    def _take_text(self, place: _Place) -> None:
        kind = place.block.kind
        if kind == blocks.GUESTS:
            text = blocks.text_of(place.block, self._content(place))
            try:
                _, found = model.decode(self.path, text)
            except GuestError as error:
                raise DamagedBlockError(str(error)) from None
            self._guests.update({(one.pid, one.start_ticks): one for one in found})
            if len(self._guests) > _GUESTS_MOST:
                raise RecordingError(
                    f"{self.path}: damaged: more guests than a host has; use a copy that is not"
                )
        elif kind == blocks.CLOCKS:
            self._clocks = clocks_of(blocks.json_of(place.block, self._content(place)))
        elif kind == blocks.END:
            self.end = end_of(blocks.json_of(place.block, self._content(place)))

    def _tell_damage(self, what: str) -> None:
        sentence = f"{self.path}: {what}"
        if sentence not in self.damaged:
            self.damaged.append(sentence)

    def _places(self, at: int = START_BYTES) -> Iterator[_Place]:
        """Yield the blocks from a place on, up to the last whole one."""
        while (place := self._place(at)) is not None:
            yield place
            at = place.offset + place.block.stored_bytes

    def _place(self, at: int) -> _Place | None:
        if self._fd < 0:
            raise RecordingError(f"{self.path}: this recording is closed")
        block = blocks.read_header(os.pread(self._fd, BLOCK_BYTES, at))
        if block is None:
            return None
        end = at + BLOCK_BYTES + block.stored_bytes
        return _Place(block, at + BLOCK_BYTES) if end <= os.fstat(self._fd).st_size else None

    def _content(self, place: _Place) -> bytes:
        return os.pread(self._fd, place.block.stored_bytes, place.offset)


def _open(path: str) -> int:
    """Return a descriptor of a file to read; RecordingError."""
    try:
        # O_NONBLOCK: a FIFO must not block.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise RecordingError(
            f"{path}: there is no such recording; make one (kvmlog record -o FILE)"
        ) from None
    except OSError as failure:
        raise RecordingError(
            f"{path}: cannot be opened ({failure.strerror}); name a recording that you may read"
        ) from None
    status = os.fstat(fd)
    what = ""
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
        what = f"is {what}"
    elif not status.st_size:
        what = "is empty"
    if what:
        os.close(fd)
        raise RecordingError(f"{path}: {what}, no recording; name a file that kvmlog record made")
    return fd
