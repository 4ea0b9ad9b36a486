# SPDX-License-Identifier: GPL-2.0-or-later
"""This host over an interval: pressure, load, memory, KSM."""

from __future__ import annotations

import os

from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats.host_local import LocalFigures, LocalHost
from kvmlog.vmstats.moment import Moment
from kvmlog.why.evidence import Host


class HostWatch:
    """A watch of this host from when it is made; root: where its /proc and /sys are."""

    def __init__(self, root: str = "/") -> None:
        self._local = LocalHost(root)
        self._began = Moment.now()
        self._before = self._local.read(self._began)

    def ended(self) -> Host | None:
        """Return what there was since; None where this kernel tells nothing of it."""
        now = Moment.now()
        return host_of(
            self._before, self._local.read(now), now.monotonic_ns - self._began.monotonic_ns
        )


def host_of(before: LocalFigures, after: LocalFigures, over_ns: int) -> Host | None:
    """Return the evidence of two readings; None where neither tells anything."""
    memory = after.memory
    if memory is None and after.pressure is None and after.load is None:
        return None
    swap_used = None
    if memory is not None and None not in (memory.swap_total_bytes, memory.swap_free_bytes):
        swap_used = (memory.swap_total_bytes or 0) - (memory.swap_free_bytes or 0)
    return Host(
        over_ns=over_ns,
        cpus=os.cpu_count(),
        load1=None if after.load is None else after.load[0],
        memory_total_bytes=None if memory is None else memory.total_bytes,
        memory_available_bytes=None if memory is None else memory.available_bytes,
        swap_used_bytes=swap_used,
        pressure=_pressure(before, after, over_ns),
        ksmd_percent=None if after.ksm is None else after.ksm.ksmd_cpu_percent,
        ksm_sharing_bytes=None
        if after.ksm is None
        else after.ksm.pages_sharing * after.ksm.page_bytes,
    )


def _pressure(before: LocalFigures, after: LocalFigures, over_ns: int) -> dict[str, float]:
    old = {(one.resource, one.kind): one.total_us for one in before.pressure or ()}
    over_s = over_ns / NS_PER_S
    return {
        f"{one.resource} {one.kind}": min(
            100.0, max(0, one.total_us - old[one.resource, one.kind]) / over_s / 1e4
        )
        for one in after.pressure or ()
        if (one.resource, one.kind) in old and over_s > 0
    }
