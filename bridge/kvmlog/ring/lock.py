# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock that keeps a second writer from a ring: PATH.lock, which holds its writer's pid."""

from __future__ import annotations

import fcntl
import os
import re
from typing import Final

from kvmlog.ring import own_file
from kvmlog.util import ownership
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import RingBusyError, RingError

# Who may read a file may lock it, and keep the bridge from starting.
_MODE: Final = 0o600
_PID: Final = re.compile(rb"[0-9]{0,10}\n?")
_PID_BYTES: Final = 32


class RingLock(Closeable):
    """The lock of the ring at `path`, held from here on.

    RingBusyError where another process holds it, RingError where its file is not ours alone.
    """

    def __init__(self, path: str) -> None:
        self.path = f"{path}.lock"
        self._ring = path
        self._fd = self._take()

    def close(self) -> None:
        """Release it, and leave the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def is_named(self) -> bool:
        """Return whether a second writer would find it."""
        return own_file.has_name(self.path, self._fd)

    def take_again(self) -> None:
        """Make and lock the file anew that was removed or replaced; errors as at first."""
        fresh = self._take()
        os.close(self._fd)
        self._fd = fresh

    def _take(self) -> int:
        while True:
            fd = self._open()
            try:
                self._lock(fd)
                # One that lost its name while we waited for nobody keeps nobody out.
                if own_file.has_name(self.path, fd):
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _open(self) -> int:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | ownership.OPEN_FLAGS, _MODE)
        except OSError as error:
            raise RingError(
                f"{self.path}: cannot be opened ({ownership.open_words(error)}); "
                "run the bridge as root or choose another place (--ring)"
            ) from None
        try:
            ownership.check(self.path, fd, RingError, remedy=own_file.REMEDY)
            start = os.pread(fd, _PID_BYTES, 0)
            if not _PID.fullmatch(start):
                raise RingError(
                    f"{self.path}: holds something else (it begins {start[:8]!r}, not with a pid); "
                    f"{own_file.REMEDY}"
                )
            os.fchmod(fd, _MODE)
        except OSError as error:
            os.close(fd)
            raise RingError(f"{self.path}: {error.strerror}; {own_file.REMEDY}") from None
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, _PID_BYTES, 0).decode("ascii", "replace").strip() or "unknown"
            raise busy(self._ring, pid) from None


def busy(ring: str, pid: int | str) -> RingBusyError:
    """Return the error for a ring that another process writes."""
    return RingBusyError(
        f"{ring}: process {pid} writes this ring already; "
        "stop that bridge or give this one another ring (--ring)"
    )
