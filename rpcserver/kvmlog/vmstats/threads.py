# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of a local QEMU's vCPU threads, as the kernel splits it: within the guest, user, system.

Sources: proc(5) for /proc/PID/task/TID/stat, whose utime includes guest_time; QEMU names its vCPU
threads "CPU N/KVM" (qemu_kvm_start_vcpu) where debug-threads is on, as it is under libvirt;
libvirt puts them into a cgroup each, which ends in "vcpuN".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats.sample import Cpu

# A QEMU has a few threads beside those of its vCPUs, of which libvirt allows 8,192 at most.
_THREADS_MOST: Final = 16_384
_STAT_BYTES: Final = 4_096
_CGROUP_BYTES: Final = 64 << 10
_NAME: Final = re.compile(rb"CPU (\d{1,5})/(\w+)")
_CGROUP: Final = re.compile(rb"/vcpu(\d{1,5})$", re.MULTILINE)


class _Thread(NamedTuple):
    """A vCPU's thread, in ns."""

    id: int
    vcpu: int
    user_ns: int  # without guest_ns
    system_ns: int
    guest_ns: int | None


def attach(cpu: Cpu, pid: int, root: str = "/proc") -> Cpu:
    """Return the CPU figures with those of the vCPUs' threads; unchanged where they are not found.

    pid: of the domain's process on this host. Guest time is None where the kernel has none: the
    code that TCG makes of the guest's is user time to it.
    """
    found = {thread.vcpu: thread for thread in _threads(f"{root}/{pid}/task")}
    if not found:
        return cpu
    vcpus = []
    for vcpu in cpu.vcpus:
        thread = found.get(vcpu.number)
        if thread is not None:
            vcpu = replace(
                vcpu,
                thread_id=thread.id,
                guest_ns=thread.guest_ns,
                user_ns=thread.user_ns,
                system_ns=thread.system_ns,
            )
        vcpus.append(vcpu)
    guest = [thread.guest_ns for thread in found.values()]
    return replace(
        cpu,
        guest_ns=None if None in guest else sum(filter(None, guest)),
        vcpus=tuple(vcpus),
    )


def _threads(folder: str) -> Iterator[_Thread]:
    try:
        names = os.listdir(folder)[:_THREADS_MOST]
    except OSError:
        return
    for name in names:
        try:
            thread = _thread(f"{folder}/{name}", int(name))
        except (OSError, ValueError, IndexError):
            # It has ended meanwhile.
            continue
        if thread is not None:
            yield thread


def _thread(folder: str, tid: int) -> _Thread | None:
    """Read a thread; None for one that is no vCPU's."""
    stat = _read(f"{folder}/stat", _STAT_BYTES)
    # The name may hold spaces and brackets: it ends at the last one.
    end = stat.rindex(b")")
    comm = stat[stat.index(b"(") + 1 : end]
    fields = stat[end + 2 :].split()
    user_ns, system_ns, guest_ns = (_ns(fields[number - 3]) for number in (14, 15, 43))
    named = _NAME.fullmatch(comm)
    if named is not None:
        runs_in_guest = named[2] == b"KVM"
    else:
        named = _CGROUP.search(_read(f"{folder}/cgroup", _CGROUP_BYTES))
        # Then only the time itself tells whether it is KVM's.
        runs_in_guest = guest_ns > 0
    if named is None:
        return None
    return _Thread(
        id=tid,
        vcpu=int(named[1]),
        # The kernel counts guest time in ticks, and user time exactly, if it is so configured.
        user_ns=max(0, user_ns - guest_ns),
        system_ns=system_ns,
        guest_ns=guest_ns if runs_in_guest else None,
    )


def _ns(ticks: bytes) -> int:
    return int(ticks) * NS_PER_S // os.sysconf("SC_CLK_TCK")


def _read(path: str, most: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(most)
