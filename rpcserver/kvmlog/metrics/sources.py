# SPDX-License-Identifier: GPL-2.0-or-later
"""What metrics are made of: the bridge's and the collector's files, and the bridge's own status.

Files are read for each scrape, which nothing can keep waiting. The bridge is asked from a thread,
every few seconds, and a scrape has its newest answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from kvmlog.control.client import SwitchClient
from kvmlog.guests.names import GuestNames
from kvmlog.ring.reader import RingInfo, RingReader
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsReader
from kvmlog.ring.statistics.reader import Snapshot as Statistics
from kvmlog.stat.names import StatisticsNames
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import KvmlogError, RingError, StatisticsError, SwitchError, VmStatsError
from kvmlog.vmstats.reader import SnapshotReader
from kvmlog.vmstats.snapshot import Snapshot

_T = TypeVar("_T")

_ASK_S: Final = 5.0
_ANSWER_S: Final = 2.0
# An answer of longer ago says nothing about now.
_OLD_S: Final = 3 * _ASK_S


class BridgeWatch(Closeable):
    """The bridge's status, asked for from a thread of its own from start() to close()."""

    def __init__(self, path: str) -> None:
        self._switch = SwitchClient(path, _ANSWER_S)
        self._answer: tuple[float, dict[str, Any]] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bridge", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more; a question under way is not waited for."""
        self._stopping.set()

    def newest(self) -> dict[str, Any] | None:
        """Return the newest answer; None where the bridge has not answered of late."""
        found = self._answer
        return None if found is None or time.monotonic() - found[0] > _OLD_S else found[1]

    def _run(self) -> None:
        while True:
            try:
                self._answer = time.monotonic(), self._switch.status()
            except SwitchError:
                self._answer = None
            if self._stopping.wait(_ASK_S):
                return


@dataclass(frozen=True)
class Found:
    """What could be read; None: it could not."""

    ring: RingInfo | None
    statistics: Statistics | None
    vms: Snapshot | None


class Files(Closeable):
    """The files of one host; not thread-safe. names: of the guests in the newest statistics."""

    def __init__(self, ring: str, vmstats: str, log: Callable[[str], None]) -> None:
        """log: takes a sentence when a file cannot be read any more, and when it can again."""
        self._ring_path = ring
        self._ring: RingReader | None = None
        self._statistics: StatisticsReader | None = None
        self._vms = SnapshotReader(vmstats)
        self._log = log
        self._told: dict[str, str] = {}
        self.names = StatisticsNames(GuestNames(ring))

    def close(self) -> None:
        """Close all of them."""
        for one in (self._ring, self._statistics):
            if one is not None:
                one.close()
        self._ring = self._statistics = None

    def read(self) -> Found:
        """Read all of them; raises nothing for one that cannot be read."""
        return Found(
            self._try("the ring", self._read_ring, RingError),
            self._try("the statistics", self._read_statistics, StatisticsError),
            self._try("the VMs' figures", self._vms.read, VmStatsError),
        )

    def _read_ring(self) -> RingInfo:
        # The name may lead elsewhere, and a ring that was removed keeps its memory while mapped.
        if self._ring is not None and not self._ring.is_current():
            self._ring.close()
            self._ring = None
        if self._ring is None:
            self._ring = RingReader(self._ring_path)
        return self._ring.info()

    def _read_statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = StatisticsReader(self._ring_path + SUFFIX)
        return self._statistics.snapshot()

    def _try(self, what: str, read: Callable[[], _T], failure: type[KvmlogError]) -> _T | None:
        try:
            found = read()
        except failure as error:
            if self._told.get(what) != str(error):
                self._told[what] = str(error)
                self._log(f"{what} cannot be read: {error}")
            return None
        if self._told.pop(what, None) is not None:
            self._log(f"{what} can be read again")
        return found
