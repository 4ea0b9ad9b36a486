# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of a whole host since boot, /proc/stat (proc(5)), split as libvirt splits it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats import host_files


@dataclass(frozen=True)
class CpuTimes:
    """All CPUs together, in ns since boot."""

    user_ns: int  # guests and low priority included
    system_ns: int  # interrupts included
    idle_ns: int
    iowait_ns: int

    @property
    def busy_ns(self) -> int:
        """Return the time in which something ran."""
        return self.user_ns + self.system_ns


def read(root: str = "/") -> CpuTimes | None:
    """Return the host's CPU times; None where the kernel does not tell."""
    first = (host_files.text(os.path.join(root, "proc/stat")) or "").partition("\n")[0].split()
    ticks = [host_files.digits(word) for word in first[1:8]]
    known = [count for count in ticks if count is not None]
    if first[:1] != ["cpu"] or len(known) != 7:
        return None
    tick_ns = NS_PER_S // os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, iowait, hard, soft = known
    return CpuTimes(
        user_ns=(user + nice) * tick_ns,
        system_ns=(system + hard + soft) * tick_ns,
        idle_ns=idle * tick_ns,
        iowait_ns=iowait * tick_ns,
    )


def busy_percent(before: CpuTimes, after: CpuTimes) -> float | None:
    """Return how busy the CPUs were, of all of them; None where no time has passed.

    The kernel's idle and iowait times may step back a little.
    """
    busy_ns = max(0, after.busy_ns - before.busy_ns)
    rest_ns = after.idle_ns + after.iowait_ns - before.idle_ns - before.iowait_ns
    all_ns = busy_ns + max(0, rest_ns)
    return 100 * busy_ns / all_ns if all_ns else None
