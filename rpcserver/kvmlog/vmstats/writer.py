# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's file, written anew for each poll; one collector at a time writes it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Final

from kvmlog.util import ownership, permissions
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats import file
from kvmlog.vmstats.snapshot import Snapshot

_MODE: Final = 0o640
_REMEDY: Final = "remove it or choose another place (--vmstats-file)"


class SnapshotWriter(Closeable):
    """The writer of the file at a path, in an existing folder. VmStatsError where it cannot be.

    Readers see the old file or the new one. The last one stays, and tells its age: a service that
    restarts leaves no gap.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        ownership.check_folder(path, remedy="choose another place (--vmstats-file)")
        self._check_name()
        self._lock: int | None = self._locked()

    def write(self, snapshot: Snapshot) -> int:
        """Replace the file; return how many bytes it has."""
        content = file.encode(snapshot)
        if len(content) > file.FILE_BYTES:
            raise VmStatsError(
                f"{self.path}: {len(content)} bytes, more than {file.FILE_BYTES} that readers "
                "take; collect from fewer URIs"
            )
        self._check_name()
        try:
            fd, temporary = ownership.create_temporary(self.path, os.O_WRONLY, _MODE)
            try:
                with open(fd, "wb") as new:
                    os.fchmod(fd, _MODE)
                    permissions.hand_to_group(fd)
                    new.write(content)
                os.rename(temporary, self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise VmStatsError(f"{self.path}: cannot be written ({error.strerror})") from None
        return len(content)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check_name(self) -> None:
        objection = ownership.name_objection(self.path)
        if objection:
            raise VmStatsError(f"{self.path}: {objection}; {_REMEDY}")

    def _locked(self) -> int:
        name = f"{self.path}.lock"
        try:
            fd = os.open(name, os.O_RDWR | os.O_CREAT | ownership.OPEN_FLAGS, 0o600)
        except OSError as error:
            raise VmStatsError(
                f"{name}: {ownership.open_words(error)}; choose another place (--vmstats-file)"
            ) from None
        try:
            ownership.check(name, fd, VmStatsError, remedy=_REMEDY)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise VmStatsError(
                f"{self.path}: another collector writes it; end that one, or choose another place "
                "(--vmstats-file)"
            ) from None
        except BaseException:
            os.close(fd)
            raise
        return fd
