# SPDX-License-Identifier: GPL-2.0-or-later
"""What only a host itself can tell of itself, from /proc and /sys."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kvmlog.vmstats import cpu_times, host_files, host_memory, huge_pages, pressure
from kvmlog.vmstats.cpu_times import CpuTimes
from kvmlog.vmstats.host import HostMemory, HugePages, Ksm, Pressure
from kvmlog.vmstats.ksm import KsmReader
from kvmlog.vmstats.moment import Moment


@dataclass(frozen=True)
class LocalFigures:
    """This host now; None: its kernel does not have it."""

    cpu: CpuTimes | None
    busy_percent: float | None  # of all CPUs, since the call before
    memory: HostMemory | None
    ksm: Ksm | None
    huge_pages: tuple[HugePages, ...] | None
    pressure: tuple[Pressure, ...] | None
    load: tuple[float, float, float] | None  # 1, 5, 15 minutes
    uptime_s: float | None


class LocalHost:
    """This host; root: where its /proc and /sys are. Not thread-safe."""

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._ksm = KsmReader(root)
        self._cpu_before: CpuTimes | None = None

    def read(self, taken: Moment) -> LocalFigures:
        """Return the figures; rates are over the time since the call before (`taken` is now)."""
        cpu = cpu_times.read(self._root)
        before, self._cpu_before = self._cpu_before, cpu
        return LocalFigures(
            cpu=cpu,
            busy_percent=cpu_times.busy_percent(before, cpu) if before and cpu else None,
            memory=host_memory.read(self._root),
            ksm=self._ksm.read(taken),
            huge_pages=huge_pages.read(self._root),
            pressure=pressure.read(self._root),
            load=self._load(),
            uptime_s=next(iter(self._decimals("proc/uptime")), None),
        )

    def _load(self) -> tuple[float, float, float] | None:
        decimals = self._decimals("proc/loadavg")
        return (decimals[0], decimals[1], decimals[2]) if len(decimals) >= 3 else None

    def _decimals(self, path: str) -> list[float]:
        """Return the numbers that a file begins with."""
        found: list[float] = []
        for word in (host_files.text(os.path.join(self._root, path)) or "").split():
            value = host_files.decimal(word)
            if value is None:
                break
            found.append(value)
        return found
