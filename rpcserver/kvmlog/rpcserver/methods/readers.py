# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of the ring and of the statistics, with faults in place of their errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kvmlog.ring.reader import RingReader
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsReader
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods.call import Call
from kvmlog.util.errors import RingError, RingMissingError, StatisticsError, StatisticsMissingError


@contextlib.contextmanager
def open_ring(call: Call) -> Iterator[RingReader]:
    """Open the ring; Fault NO_RING or RING_UNREADABLE, raised by its use within `with` too."""
    try:
        with RingReader(call.ring_path) as ring:
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
