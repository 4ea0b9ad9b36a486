# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest, and the file of guests as text (docs/guests.md): the bridge writes, all others read.

The file was written by the bridge but may be damaged, or made by somebody else: what is read back
is held to the same bounds as what is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvmlog.bridge.errors import KvmlogError

FORMAT: Final = "kvmlog-guests"
VERSION: Final = 1
# More is no file of ours: the bridge keeps at most RUNNING_MOST + ENDED_MOST entries.
FILE_BYTES: Final = 64 << 20
RUNNING_MOST: Final = 16_384
ENDED_MOST: Final = 1_024
NUMBERS_MOST: Final = 16
ALIASES_MOST: Final = 4
NAME_CHARACTERS: Final = 256
CGROUP_CHARACTERS: Final = 1_024


class GuestError(KvmlogError):
    """A guest was asked for that there is not, or the file of guests cannot be used."""


@dataclass(frozen=True)
class Guest:
    """A process that runs a guest (two VMs of one process are two numbers of one entry)."""

    pid: int  # thread group id
    start_ticks: int  # /proc/PID/stat, field 22, in clock ticks since boot; 0: unknown
    comm: str
    kind: str  # qemu, firecracker, cloud-hypervisor, crosvm, kvmtool, other
    name: str  # never empty: "comm:pid" where the guest has none
    named: bool  # whether `name` is the guest's own
    uuid: str | None = None  # lower case, with dashes
    aliases: tuple[str, ...] = ()  # what it is also found by: "namespace_vm" and "vm" of KubeVirt
    cgroup: str = ""  # path below the cgroup root
    container: str | None = None  # the container's id
    pod: str | None = None  # UID of the Kubernetes pod
    numbers: tuple[tuple[int, int], ...] = ()  # (guest number, CLOCK_MONOTONIC ns announced)
    first_seen_realtime_ns: int = 0
    ended_realtime_ns: int | None = None  # when the bridge noticed; None: running
