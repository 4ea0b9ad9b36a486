# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of the statistics that calls at the same time share, since each may take much memory."""

from __future__ import annotations

import threading
import weakref
from typing import Final

from kvmlog.ring.statistics.reader import Snapshot, StatisticsReader

# The bridge writes as often as it is asked to: a newer state is copied no sooner than that.
_LEAST_NS: Final = 100_000_000


class SharedSnapshot:
    """The newest copy that was made, as long as a call uses it; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # covers _newest; held while one is made, for all to have it
        self._newest: weakref.ref[Snapshot] | None = None

    def recent(self, reader: StatisticsReader) -> Snapshot:
        """Return a copy of what the bridge wrote last, or up to 0.1 s before that."""
        with self._lock:
            newest = self._newest() if self._newest is not None else None
            if newest is not None and _is_recent(newest, reader):
                return newest
            return self._make(reader)

    def copy(self, reader: StatisticsReader) -> Snapshot:
        """Return a copy of what the bridge wrote last."""
        with self._lock:
            return self._make(reader)

    def _make(self, reader: StatisticsReader) -> Snapshot:
        made = reader.snapshot()
        self._newest = weakref.ref(made)
        return made


# Of all methods that read statistics.
SHARED: Final = SharedSnapshot()


def _is_recent(copy: Snapshot, reader: StatisticsReader) -> bool:
    fold = reader.fold()
    same = copy.path == reader.path and copy.fold[:2] == fold[:2]
    return same and 0 <= fold.folded_ns - copy.folded_ns < _LEAST_NS
