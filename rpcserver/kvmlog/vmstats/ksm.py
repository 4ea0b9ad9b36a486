# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel samepage merging: Documentation/admin-guide/mm/ksm.rst, and its thread ksmd."""

from __future__ import annotations

import os
from typing import Final

from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats import host_files
from kvmlog.vmstats.host import Ksm
from kvmlog.vmstats.moment import Moment

_FOLDER: Final = "sys/kernel/mm/ksm"
_COUNTERS: Final = ("run", "pages_shared", "pages_sharing", "pages_unshared", "full_scans")
_THREAD: Final = "(ksmd)"
# <linux/sched.h>: PF_KTHREAD. Any process may take the name.
_KERNEL_THREAD: Final = 0x0020_0000
# Fields of /proc/PID/stat, behind the name: flags, utime, stime.
_FLAGS, _USER, _SYSTEM = (number - 3 for number in (9, 14, 15))


class KsmReader:
    """A reader, which remembers the last CPU time of ksmd for its rate."""

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._pid: int | None = None
        self._looked = False
        self._before: tuple[Moment, int] | None = None

    def read(self, taken: Moment) -> Ksm | None:
        """Return the figures now; None for a kernel without KSM."""
        folder = os.path.join(self._root, _FOLDER)
        counters = [host_files.number(f"{folder}/{name}") for name in _COUNTERS]
        known = [count for count in counters if count is not None]
        if len(known) != len(_COUNTERS):
            return None
        run, shared, sharing, unshared, scans = known
        across = host_files.number(f"{folder}/merge_across_nodes")
        cpu_ns = self._cpu_ns()
        return Ksm(
            run=run,
            pages_shared=shared,
            pages_sharing=sharing,
            pages_unshared=unshared,
            full_scans=scans,
            merge_across_nodes=None if across is None else bool(across),
            page_bytes=os.sysconf("SC_PAGE_SIZE"),
            ksmd_cpu_ns=cpu_ns,
            ksmd_cpu_percent=self._percent(taken, cpu_ns),
            pages_to_scan=host_files.number(f"{folder}/pages_to_scan"),
        )

    def _cpu_ns(self) -> int | None:
        if not self._looked:
            self._pid, self._looked = self._find(), True
        fields = None if self._pid is None else self._thread(self._pid)
        if fields is None:
            return None
        user, system = host_files.digits(fields[_USER]), host_files.digits(fields[_SYSTEM])
        if user is None or system is None:
            return None
        return (user + system) * NS_PER_S // os.sysconf("SC_CLK_TCK")

    def _percent(self, taken: Moment, cpu_ns: int | None) -> float | None:
        """Return ksmd's share of one CPU since the last call."""
        before, self._before = self._before, None if cpu_ns is None else (taken, cpu_ns)
        if before is None or cpu_ns is None:
            return None
        interval_ns = taken.monotonic_ns - before[0].monotonic_ns
        if interval_ns <= 0 or cpu_ns < before[1]:
            return None
        return 100 * (cpu_ns - before[1]) / interval_ns

    def _find(self) -> int | None:
        """Look for ksmd, which lives as long as the kernel."""
        try:
            names = os.listdir(os.path.join(self._root, "proc"))
        except OSError:
            return None
        pids = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
        return next((pid for pid in pids if self._thread(pid) is not None), None)

    def _thread(self, pid: int) -> list[str] | None:
        """Return the fields of a process behind its name; None where it is not ksmd."""
        stat = host_files.text(os.path.join(self._root, f"proc/{pid}/stat"))
        head, end, rest = (stat or "").rpartition(")")
        fields = rest.split()
        if f"{head}{end}" != f"{pid} {_THREAD}" or len(fields) <= _SYSTEM:
            return None
        return fields if (host_files.digits(fields[_FLAGS]) or 0) & _KERNEL_THREAD else None
