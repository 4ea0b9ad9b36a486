# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time and waiting of a VM's vCPU threads, from /proc; and who else ran where they may run.

/proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst): ns on a CPU, ns ready
without one. /proc/PID/stat (proc(5)): utime, stime, processor.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from kvmlog.guests.sanitize import clean
from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats import host_files
from kvmlog.why.evidence import Rival, VcpuTime

_VCPU: Final = re.compile(r"CPU (\d{1,5})/\w+")
_CGROUP: Final = re.compile(r"/vcpu(\d{1,5})$", re.MULTILINE)
_ALLOWED: Final = re.compile(r"^Cpus_allowed_list:\s*([\d,-]{1,4096})$", re.MULTILINE)
# proc(5) numbers them from 1; here from the state, the third, on.
_MAJOR_FAULTS, _USER, _SYSTEM, _PROCESSOR, _GUEST = (number - 3 for number in (12, 14, 15, 39, 43))
# More processes, or threads, than any host of VMs has.
_MOST: Final = 65_536
_CPUS_MOST: Final = 8_192
# A rival has had at least so much of a CPU.
_RIVAL_SHARE: Final = 0.2
_RIVALS_LOOKED_AT: Final = 8


class Thread(NamedTuple):
    """A vCPU's thread at one time; wait_ns None: the kernel does not tell."""

    vcpu: int
    tid: int
    on_cpu_ns: int
    wait_ns: int | None


@dataclass(frozen=True)
class Threads:
    """All vCPUs' threads of a process at one time, and the CPU time of all processes, ns."""

    monotonic_ns: int
    threads: tuple[Thread, ...]
    processes: dict[int, int]


def read(pid: int, monotonic_ns: int, root: str = "/proc") -> Threads:
    """Read them; nothing of a process that is gone."""
    found = [one for tid in _numbers(f"{root}/{pid}/task") if (one := _thread(root, pid, tid))]
    if not found:
        found = _guests(root, pid)
    return Threads(monotonic_ns, tuple(sorted(found)), dict(_processes(root)))


def between(before: Threads, after: Threads) -> tuple[VcpuTime, ...]:
    """Return the growth of each thread that was there both times."""
    old = {one.tid: one for one in before.threads}
    found = []
    for one in after.threads:
        known = old.get(one.tid)
        if known is None:
            continue
        wait_ns = None
        if one.wait_ns is not None and known.wait_ns is not None:
            wait_ns = max(0, one.wait_ns - known.wait_ns)
        on_cpu_ns = max(0, one.on_cpu_ns - known.on_cpu_ns)
        found.append(VcpuTime(one.vcpu, on_cpu_ns, wait_ns))
    return tuple(found)


def allowed_cpus(pid: int, after: Threads, root: str = "/proc") -> frozenset[int]:
    """Return the host's CPUs that any of the vCPUs may run on; empty: not known."""
    return frozenset(
        cpu
        for one in after.threads
        for cpu in _allowed(host_files.text(f"{root}/{pid}/task/{one.tid}/status"))
    )


def rival(
    pid: int, before: Threads, after: Threads, cpus: frozenset[int], root: str = "/proc"
) -> Rival | None:
    """Return the process that has used most of the CPUs of the VM, but the VM itself."""
    over_ns = after.monotonic_ns - before.monotonic_ns
    grown = sorted(
        (
            (used_ns - before.processes[one], one)
            for one, used_ns in after.processes.items()
            if one != pid and one in before.processes
        ),
        reverse=True,
    )
    for used_ns, one in grown[:_RIVALS_LOOKED_AT]:
        if used_ns < _RIVAL_SHARE * over_ns:
            break
        on = [cpu for tid in _numbers(f"{root}/{one}/task") for cpu in _last_cpu(root, one, tid)]
        shared = [cpu for cpu in on if cpu in cpus]
        if shared:
            comm = clean((host_files.text(f"{root}/{one}/comm") or "?").strip())
            return Rival(one, comm, shared[0], min(used_ns, over_ns))
    return None


def major_faults(pid: int, root: str = "/proc") -> int | None:
    """Return how many pages of the process had to be read from a disk so far."""
    fields = _stat(f"{root}/{pid}/stat")
    return None if fields is None else host_files.digits(fields[_MAJOR_FAULTS])


def swapped_bytes(pid: int, root: str = "/proc") -> int | None:
    """Return how much of the process is swapped out (VmSwap)."""
    status = host_files.text(f"{root}/{pid}/status") or ""
    found = re.search(r"^VmSwap:\s*(\d{1,15}) kB$", status, re.MULTILINE)
    return None if found is None else int(found[1]) << 10


def _thread(root: str, pid: int, tid: int) -> Thread | None:
    """Read a thread; None for one that is no vCPU's by its name, or its control group."""
    folder = f"{root}/{pid}/task/{tid}"
    named = _VCPU.fullmatch((host_files.text(f"{folder}/comm") or "").rstrip("\n"))
    if named is None:
        named = _CGROUP.search(host_files.text(f"{folder}/cgroup") or "")
    return None if named is None else _timed(folder, int(named[1]), tid)


def _guests(root: str, pid: int) -> list[Thread]:
    """Return threads that have run a guest, of a VMM that does not name its vCPUs' threads."""
    found: list[Thread] = []
    for tid in _numbers(f"{root}/{pid}/task"):
        fields = _stat(f"{root}/{pid}/task/{tid}/stat")
        if fields is not None and host_files.digits(fields[_GUEST]):
            timed = _timed(f"{root}/{pid}/task/{tid}", len(found), tid)
            found += [] if timed is None else [timed]
    return found


def _timed(folder: str, vcpu: int, tid: int) -> Thread | None:
    words = (host_files.text(f"{folder}/schedstat") or "").split()
    figures = [host_files.digits(word) for word in words[:2]]
    if len(figures) == 2 and figures[0] is not None and figures[1] is not None:
        return Thread(vcpu, tid, figures[0], figures[1])
    fields = _stat(f"{folder}/stat")
    used_ns = None if fields is None else _used_ns(fields)
    return None if used_ns is None else Thread(vcpu, tid, used_ns, None)


def _processes(root: str) -> Iterator[tuple[int, int]]:
    for pid in _numbers(root):
        fields = _stat(f"{root}/{pid}/stat")
        used_ns = None if fields is None else _used_ns(fields)
        if used_ns is not None:
            yield pid, used_ns


def _used_ns(fields: list[str]) -> int | None:
    user, system = host_files.digits(fields[_USER]), host_files.digits(fields[_SYSTEM])
    if user is None or system is None:
        return None
    return (user + system) * NS_PER_S // os.sysconf("SC_CLK_TCK")


def _last_cpu(root: str, pid: int, tid: int) -> Iterator[int]:
    fields = _stat(f"{root}/{pid}/task/{tid}/stat")
    cpu = None if fields is None else host_files.digits(fields[_PROCESSOR])
    if cpu is not None:
        yield cpu


def _stat(path: str) -> list[str] | None:
    """Return the fields from the state on: the name before it may hold anything."""
    fields = (host_files.text(path) or "").rpartition(")")[2].split()
    return fields if len(fields) > _GUEST else None


def _numbers(folder: str) -> list[int]:
    try:
        names = os.listdir(folder)[:_MOST]
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def _allowed(status: str | None) -> Iterator[int]:
    found = _ALLOWED.search(status or "")
    for part in found[1].split(",") if found else ():
        first, _, last = part.partition("-")
        low, high = host_files.digits(first), host_files.digits(last or first)
        if low is not None and high is not None:
            yield from range(low, min(high, _CPUS_MOST) + 1)
