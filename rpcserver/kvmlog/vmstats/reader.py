# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's file, as all others read it: one snapshot per poll, parsed once."""

from __future__ import annotations

import os
import stat
import threading
from typing import Final, TypeAlias

from kvmlog.util.errors import VmStatsError, VmStatsMissingError
from kvmlog.vmstats import file
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Collector, Snapshot

# So many intervals, and so many seconds, without a new file: the collector is gone or stuck.
_LATE_INTERVALS: Final = 3
_LATE_S: Final = 10.0
# Inode, time of change, size.
_Identity: TypeAlias = tuple[int, int, int]


class SnapshotReader:
    """A reader of the file at a path; thread-safe. It holds no descriptor between calls.

    named_by: the option or key that has the path, for errors.
    """

    def __init__(self, path: str, named_by: str = file.OPTION) -> None:
        self.path = path
        self._named_by = named_by
        self._lock = threading.Lock()  # covers the two below; held while the file is parsed
        self._seen: _Identity | None = None
        self._newest: tuple[Snapshot, bytes] | None = None

    def read(self) -> Snapshot:
        """Return the newest snapshot, the same object until the next poll.

        VmStatsMissingError: there is no file; VmStatsError: it cannot be used.
        """
        return self.read_content()[0]

    def read_content(self) -> tuple[Snapshot, bytes]:
        """Return the newest snapshot, and the bytes that it was made of; raises as read()."""
        with self._lock:
            fd = self._open()
            try:
                status = os.fstat(fd)
                seen = _identity(status)
                if self._newest is None or seen != self._seen:
                    content = self._content(fd, status)
                    self._newest = file.decode(self.path, content, self._named_by), content
                    self._seen = seen
                return self._newest
            finally:
                os.close(fd)

    def is_current(self) -> bool:
        """Return whether read() would return what it returned last; waits for no other thread."""
        seen = self._seen
        try:
            return seen is not None and seen == _identity(os.stat(self.path))
        except OSError:
            return False

    def _open(self) -> int:
        try:
            # O_NONBLOCK: a FIFO must not block.
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise VmStatsMissingError(
                f"{self.path}: there are no VM statistics; start the collector (kvmlog vmstats)"
            ) from None
        except PermissionError as error:
            raise VmStatsError(
                f"{self.path}: cannot be read ({error.strerror}); run as root or join the group "
                "kvmlog"
            ) from None
        except OSError as error:
            raise VmStatsError(
                f"{self.path}: cannot be read ({error.strerror}); check {self._named_by}"
            ) from None

    def _content(self, fd: int, status: os.stat_result) -> bytes:
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise VmStatsError(
                f"{self.path}: is {what}, no file of VM statistics; name the collector's file "
                f"({self._named_by})"
            )
        if status.st_size > file.FILE_BYTES:
            what = f"{status.st_size} bytes, at most {file.FILE_BYTES} are expected"
            raise file.foreign(self.path, what, self._named_by)
        with open(fd, "rb", closefd=False) as content:
            return content.read(status.st_size)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_mtime_ns, status.st_size


def lateness(snapshot: Snapshot, now: Moment) -> str | None:
    """Return a sentence where the collector should have written since; None where it is on time."""
    collector = snapshot.collector
    if not is_late(collector.written, collector, now):
        return None
    age_s = (now.monotonic_ns - collector.written.monotonic_ns) / 1e9
    return (
        f"these figures are {age_s:.0f} s old: the collector has not written since; look at "
        "kvmlog vmstats (journalctl -u kvmlog-vmstats)"
    )


def is_late(taken: Moment, collector: Collector, now: Moment) -> bool:
    """Return whether something taken at that time should have been taken again by now."""
    age_s = (now.monotonic_ns - taken.monotonic_ns) / 1e9
    return age_s > _LATE_INTERVALS * collector.effective_interval_s + _LATE_S
