# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's file, written anew for each poll; one collector at a time writes it."""

from __future__ import annotations

import os
from typing import Final

from kvmlog.util import ownership, whole_file
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats import file
from kvmlog.vmstats.snapshot import Snapshot

_MODE: Final = 0o640
_PLACE: Final = "choose another place (--vmstats-file)"


class SnapshotWriter(Closeable):
    """The writer of the file at a path, in an existing folder. VmStatsError where it cannot be.

    Readers see the old file or the new one. The last one stays, and tells its age: a service that
    restarts leaves no gap.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        ownership.check_folder(path, remedy=_PLACE)
        self._check_name()
        self._lock: int | None = whole_file.lock(
            path, VmStatsError, writer="another collector", place=_PLACE
        )

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
            whole_file.replace(self.path, content, _MODE)
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
            raise VmStatsError(f"{self.path}: {objection}; remove it or {_PLACE}")
