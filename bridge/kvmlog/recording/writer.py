# SPDX-License-Identifier: GPL-2.0-or-later
"""The writer of a recording: whole blocks, appended; whatever ends it, they can be read.

It takes records as a ring has them, in pieces of any size, and writes a block when one is full, or
when it is told to flush.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Final

from kvmlog.guests import model
from kvmlog.guests.model import Guest
from kvmlog.recording import format as blocks
from kvmlog.recording.format import BLOCK_RECORDS, RecordingError
from kvmlog.recording.header import End, Header
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.records import RECORD_BYTES, Bytes
from kvmlog.util.closeable import Closeable

_FULL_BYTES: Final = BLOCK_RECORDS * RECORD_BYTES
# For guests and clocks that come late, and the last block.
_END_ROOM: Final = 16 << 10


class FullError(RecordingError):
    """The recording is as large as it may be: what waited is left out, and it has to end."""


class RecordingWriter(Closeable):
    """A recording that is being written into an open, empty file; close() leaves it as it is.

    fd: borrowed. most_bytes: what the file may take, None: no limit. OSError where the file cannot
    be written; what was written before is whole. records, bytes_written: in the file; lost_records,
    overwritten: as in End.
    """

    def __init__(
        self, fd: int, header: Header, clocks: Clocks, most_bytes: int | None = None
    ) -> None:
        self._fd = fd
        self._boot_id = bytes.fromhex(header.boot_id)
        self._most_bytes = most_bytes
        self._guests: dict[tuple[int, int], Guest] = {}
        self._pairs: tuple[object, ...] = ()
        self._waiting = bytearray()
        self.records = 0
        self.lost_records = 0
        self.overwritten = 0
        self.bytes_written = 0
        self._write(blocks.start() + blocks.json_block(blocks.HEADER, vars(header)))
        self.set_clocks(clocks)

    @property
    def taken(self) -> int:
        """Return how many records it has taken, those that wait for their block included."""
        return self.records + len(self._waiting) // RECORD_BYTES

    @property
    def guests(self) -> int:
        """Return how many guests it has written."""
        return len(self._guests)

    def append(self, records: Bytes) -> None:
        """Take whole records, in the order of the stream; FullError."""
        self._waiting += records
        while len(self._waiting) >= _FULL_BYTES:
            self._write_records(_FULL_BYTES)

    def lose(self, count: int, *, overwritten: bool = False) -> None:
        """Take note of records that are missing at this place."""
        self.lost_records += count
        if overwritten:
            self.overwritten += count

    def set_guests(self, guests: Sequence[Guest]) -> None:
        """Write the guests that are new or have changed."""
        fresh = [one for one in guests if self._guests.get((one.pid, one.start_ticks)) != one]
        if fresh:
            self._guests.update({(one.pid, one.start_ticks): one for one in fresh})
            text = model.encode(self._boot_id, fresh)
            self._write(blocks.text_block(blocks.GUESTS, text, self.lost_records))

    def set_clocks(self, clocks: Clocks) -> None:
        """Write the clocks where they have changed."""
        if clocks.pairs != self._pairs:
            self._pairs = clocks.pairs
            content = clocks.objects()
            self._write(blocks.json_block(blocks.CLOCKS, content, self.lost_records))

    def flush(self) -> None:
        """Write all records that wait, as a block of their own; FullError."""
        while self._waiting:
            self._write_records(min(_FULL_BYTES, len(self._waiting)))

    def end(self, reason: str) -> None:
        """Write what waits, and the totals; FullError, then call it again."""
        self.flush()
        end = End(
            records=self.records,
            lost_records=self.lost_records,
            overwritten=self.overwritten,
            ended_realtime_ns=time.time_ns(),
            ended_monotonic_ns=time.monotonic_ns(),
            reason=reason,
        )
        self._write(blocks.json_block(blocks.END, dataclasses.asdict(end), self.lost_records))

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def _write_records(self, length: int) -> None:
        block = blocks.records_block(bytes(self._waiting[:length]), self.lost_records)
        room = self._most_bytes
        if room is not None and self.bytes_written + len(block) + _END_ROOM > room:
            self._waiting.clear()
            raise FullError(f"the recording has {self.bytes_written} of {room} bytes")
        self._write(block)
        del self._waiting[:length]
        self.records += length // RECORD_BYTES

    def _write(self, block: bytes) -> None:
        left = memoryview(block)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            # Half a block is of no use, and takes room.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.bytes_written)
                os.lseek(self._fd, self.bytes_written, os.SEEK_SET)
            raise
        self.bytes_written += len(block)
