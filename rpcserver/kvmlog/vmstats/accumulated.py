# SPDX-License-Identifier: GPL-2.0-or-later
"""Sums over all generations of a domain, since the collector first saw it: they never shrink."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlog.vmstats.moment import Moment


@dataclass(frozen=True)
class Accumulated:
    """Growth of a domain's counters since `since`; disks without CD-ROM and floppy drives."""

    since: Moment
    cpu_time_ns: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    read_bytes: int = 0
    read_requests: int = 0
    write_bytes: int = 0
    write_requests: int = 0
