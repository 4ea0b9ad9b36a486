# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of the ring and of the statistics, with faults in place of their errors.

Readers of the ring are kept for the next calls, since opening and mapping it takes longer than most
of what is read.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Final

from kvmlog.ring.reader import RingReader
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsReader
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.call import Call
from kvmlog.util.errors import RingError, RingMissingError, StatisticsError, StatisticsMissingError

_MOST_KEPT: Final = 8
# A ring that was removed keeps its memory as long as a reader has it mapped.
_KEPT_S: Final = 1.0

_lock: Final = threading.Lock()  # covers _kept
_kept: Final[list[tuple[float, RingReader]]] = []  # since when, the newest last


@contextlib.contextmanager
def ring_reader(path: str) -> Iterator[RingReader]:
    """Return a reader of the file that has the name now; RingError, RingMissingError."""
    reader = _take(path) or RingReader(path)
    try:
        yield reader
    except BaseException:
        reader.close()
        raise
    reader.trim()
    with _lock:
        if len(_kept) < _MOST_KEPT:
            _kept.append((time.monotonic(), reader))
            return
    reader.close()


def close_idle(older_than_s: float = _KEPT_S) -> None:
    """Close readers that nobody has used for so long; to be called from time to time."""
    if not _kept:
        return
    now_s = time.monotonic()
    with _lock:
        old = [one for one in _kept if now_s - one[0] >= older_than_s]
        for one in old:
            _kept.remove(one)
    for _, reader in old:
        reader.close()


@contextlib.contextmanager
def open_ring(call: Call) -> Iterator[RingReader]:
    """Open the ring; Fault NO_RING or RING_UNREADABLE, raised by its use within `with` too."""
    try:
        with ring_reader(call.ring_path) as ring:
            yield ring
    except RingMissingError as error:
        raise faults.fault(faults.NO_RING, str(error)) from error
    except RingError as error:
        raise faults.fault(faults.RING_UNREADABLE, str(error)) from error


@contextlib.contextmanager
def open_statistics(call: Call) -> Iterator[StatisticsReader]:
    """Open the statistics; Fault NO_STATISTICS or STATISTICS_UNREADABLE, as for the ring."""
    try:
        with StatisticsReader(call.ring_path + SUFFIX) as reader:
            yield reader
    except StatisticsMissingError as error:
        raise faults.fault(faults.NO_STATISTICS, str(error)) from error
    except StatisticsError as error:
        raise faults.fault(faults.STATISTICS_UNREADABLE, str(error)) from error


def _take(path: str) -> RingReader | None:
    """Return a reader that was kept, if it has the file that the name leads to now."""
    with _lock:
        found = next((one for one in reversed(_kept) if one[1].path == path), None)
        if found is None:
            return None
        _kept.remove(found)
    if found[1].is_current():
        return found[1]
    found[1].close()
    return None


table.tidied_by(close_idle)
