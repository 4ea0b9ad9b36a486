# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU time that libvirt's local daemon spends while it is polled."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from typing import Final, Self

from kvmlog.vmstats.libvirt import uri

# <linux/socket.h>: pid, uid, gid.
_CREDENTIALS: Final = struct.Struct("iII")
_CONNECT_S: Final = 1.0
# Where systemd listens for the daemon, the socket is systemd's.
_INIT: Final = 1
_PID_FILES: Final = ("/run/virtqemud.pid", "/run/libvirtd.pid")
_PID_CHARACTERS: Final = 16
# <linux/posix-timers.h>: the clock of a process's CPU time, all its threads together.
_CPUCLOCK_SCHED: Final = 2


class DaemonCpu:
    """A meter: with each `with` it adds what the daemon spent meanwhile.

    spent_ns: the sum; None where there is no daemon on this host, or it cannot be told.
    """

    def __init__(self, connection_uri: str) -> None:
        self.spent_ns: int | None = None
        self._sockets = uri.daemon_sockets(connection_uri)
        self._pid: int | None = None
        self._before: int | None = None

    def find(self) -> None:
        """Look for the daemon, which may be another than before."""
        self._pid = next(filter(None, map(_listener, self._sockets)), None)

    def __enter__(self) -> Self:
        self._before = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        now = self._read()
        if self._before is not None and now is not None and now >= self._before:
            self.spent_ns = (self.spent_ns or 0) + now - self._before

    def _read(self) -> int | None:
        return None if self._pid is None else process_cpu_ns(self._pid)


def process_cpu_ns(pid: int) -> int | None:
    """Return the CPU time of a process, user and system; None where it has ended."""
    # clock_getcpuclockid(3), which Python lacks.
    with contextlib.suppress(OSError):
        return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)
    return None


def _listener(path: str) -> int | None:
    """Return the pid of the daemon that listens on a socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as link:
            link.settimeout(_CONNECT_S)
            link.connect(path)
            raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    pid = int(_CREDENTIALS.unpack(raw)[0])
    return pid if pid > _INIT else _from_pid_file(os.path.basename(path))


def _from_pid_file(name: str) -> int | None:
    daemon = "virtqemud" if name.startswith("virtqemud") else "libvirtd"
    for path in _PID_FILES:
        if os.path.basename(path) == f"{daemon}.pid":
            with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
                return int(file.read(_PID_CHARACTERS))
    return None
