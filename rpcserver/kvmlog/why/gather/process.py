# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM's process on this host: CPU time, waiting, quotas and memory between two readings."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from kvmlog.why.evidence import CpuTime, Host, Memory
from kvmlog.why.gather import quota, threads

# A waiting share from which it is worth looking who runs instead.
_WAITING: Final = 0.05


class ProcessMark:
    """A VM's process at one time."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.threads = threads.read(pid, time.monotonic_ns())
        self.throttled_ns = quota.throttled_ns(pid)
        self.major_faults = threads.major_faults(pid)
        self.swapped_bytes = threads.swapped_bytes(pid)


def cpu_between(before: ProcessMark, after: ProcessMark, host: Host | None) -> CpuTime | None:
    """Return the vCPUs' time, and who ran where they waited; None where none is known."""
    grown = threads.between(before.threads, after.threads)
    if not grown:
        return None
    over_ns = after.threads.monotonic_ns - before.threads.monotonic_ns
    cpus = threads.allowed_cpus(after.pid, after.threads)
    waited_ns = max((one.wait_ns or 0 for one in grown), default=0)
    rival = None
    if waited_ns >= _WAITING * over_ns:
        rival = threads.rival(after.pid, before.threads, after.threads, cpus)
    throttled_ns = None
    if before.throttled_ns is not None and after.throttled_ns is not None:
        throttled_ns = max(0, after.throttled_ns - before.throttled_ns)
    host_cpus = len(cpus) or (None if host is None else host.cpus)
    return CpuTime(over_ns, grown, throttled_ns, rival, host_cpus)


def with_process(memory: Memory, before: ProcessMark, after: ProcessMark) -> Memory:
    """Return the memory with what the host's kernel knows of the process."""
    faults_per_s = None
    over_ns = after.threads.monotonic_ns - before.threads.monotonic_ns
    if before.major_faults is not None and after.major_faults is not None and over_ns > 0:
        faults_per_s = max(0, after.major_faults - before.major_faults) * 1e9 / over_ns
    return replace(
        memory, host_major_faults_per_s=faults_per_s, host_swapped_bytes=after.swapped_bytes
    )
