# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of events as the collector writes it: each one at once, however rarely it polls."""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import threading
import uuid
from typing import Final

from kvmlog.util import ownership, whole_file
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import VmStatsError
from kvmlog.util.ratelimit import LogLimiter
from kvmlog.vmstats import events, log
from kvmlog.vmstats.events import Event, EventReader, Header, Kind, Occurrence
from kvmlog.vmstats.moment import Moment

_MODE: Final = 0o640
# Not yet written; more are lost, and told by the gap in their numbers.
_WAITING_MOST: Final = 16_384
_REMEDY: Final = "remove it or choose another place (--vmstats-file)"


class EventLog(Closeable):
    """The file at a path, whose folder and name are the collector's own (SnapshotWriter).

    note() may be called in any thread and never waits for the file; handle() writes.
    """

    def __init__(self, path: str, boot_id: str) -> None:
        self.path = path
        self._lock = threading.Lock()  # covers _waiting, _sequence and _noted
        self._waiting: collections.deque[Event] = collections.deque()
        self._sequence = 0
        self._log = LogLimiter(log)
        self._noted = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._check_name()
            self._header, kept = self._before(boot_id)
            self._sequence = kept[-1].sequence if kept else 0
            self._bytes = self._begin_file([events.encode(event) for event in kept])
            self.note(Occurrence(Moment.now(), None, Kind.BEGAN))
        except BaseException:
            os.close(self._noted)
            raise

    def note(self, occurrence: Occurrence) -> None:
        """Have an occurrence written; after close() nothing is."""
        with self._lock:
            if self._noted < 0:
                return
            self._sequence += 1
            if len(self._waiting) < _WAITING_MOST:
                self._waiting.append(Event(self._sequence, occurrence))
            os.eventfd_write(self._noted, 1)

    def fileno(self) -> int:
        """Return a descriptor that is readable once something was noted."""
        return self._noted

    def handle(self) -> None:
        """Write what was noted. What a full file system does not take is written later."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._noted)
        with self._lock:
            taken = list(self._waiting)
        if not taken:
            return
        try:
            self._write([events.encode(event) for event in taken])
        except (OSError, VmStatsError) as error:
            self._log(f"{self.path}: events cannot be written ({error}); it is tried again")
            return
        with self._lock:
            for _ in taken:
                self._waiting.popleft()

    def close(self) -> None:
        if self._noted >= 0:
            self.handle()
            with self._lock:
                os.close(self._noted)
                self._noted = -1

    def _write(self, lines: list[bytes]) -> None:
        content = b"".join(lines)
        if self._bytes + len(content) > events.FILE_BYTES:
            self._bytes = self._begin_file(self._newest(lines))
            return
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | ownership.OPEN_FLAGS)
        try:
            ownership.check(self.path, fd, VmStatsError, remedy=_REMEDY)
            before = os.fstat(fd).st_size
            written = os.write(fd, content)
            if written < len(content):
                os.ftruncate(fd, before)
                raise OSError("there is no space left")
            self._bytes = before + written
        finally:
            os.close(fd)

    def _newest(self, lines: list[bytes]) -> list[bytes]:
        """Return the newest half of the file with these lines behind it."""
        with open(self.path, "rb") as file:
            kept = file.read(events.FILE_BYTES).splitlines(keepends=True)[1:]
        room, found = events.FILE_BYTES // 2, list[bytes]()
        for line in itertools.chain(reversed(lines), reversed(kept)):
            room -= len(line)
            if room < 0:
                break
            found.append(line)
        return found[::-1]

    def _begin_file(self, lines: list[bytes]) -> int:
        """Put a new file in the place of the old one; return its size."""
        self._check_name()
        content = events.encode_header(self._header) + b"".join(lines)
        whole_file.replace(self.path, content, _MODE)
        return len(content)

    def _before(self, boot_id: str) -> tuple[Header, list[Event]]:
        """Return what the collector before has written in this boot, to be continued."""
        with contextlib.suppress(VmStatsError):
            header, kept = EventReader(self.path).read()
            if header.boot_id == boot_id:
                return header, kept
        return Header(str(uuid.uuid4()), boot_id), []

    def _check_name(self) -> None:
        objection = ownership.name_objection(self.path)
        if objection:
            raise VmStatsError(f"{self.path}: {objection}; {_REMEDY}")
