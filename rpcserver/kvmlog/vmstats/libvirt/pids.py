# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of a domain on this host, by the pid file that libvirt keeps of it."""

from __future__ import annotations

import os
import time
from typing import Final, NamedTuple

from kvmlog.guests.proc import read_process
from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats.moment import Moment

_PID_CHARACTERS: Final = 16


class DomainProcess(NamedTuple):
    """The process of a domain."""

    pid: int
    started: Moment


def of_domain(folder: str | None, name: str, uuid: str) -> DomainProcess | None:
    """Return a domain's process; None where there is no such file, or it names another process.

    folder: of libvirt's pid files (uri.state_folder).
    """
    if folder is None or "/" in name:
        return None
    try:
        with open(os.path.join(folder, f"{name}.pid"), "rb") as file:
            pid = int(file.read(_PID_CHARACTERS))
    except (OSError, ValueError):
        return None
    process = read_process(pid)
    if process is None or uuid.encode() not in process.command_line:
        return None
    return DomainProcess(pid, _moment(process.start_ticks))


def _moment(ticks: int) -> Moment:
    """Return when it was so many clock ticks after boot."""
    now = Moment.now()
    since_boot_ns = ticks * NS_PER_S // os.sysconf("SC_CLK_TCK")
    age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - since_boot_ns
    return Moment(now.monotonic_ns - age_ns, now.realtime_ns - age_ns)
