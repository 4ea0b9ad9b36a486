# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts about processes from /proc (proc(5))."""

from __future__ import annotations

import os
from typing import NamedTuple

# States of processes that have ended: zombie and dead.
_DEAD = (b"Z", b"X", b"x")


class Start(NamedTuple):
    """Start of a process in clock ticks since boot, and whether it has not ended since."""

    ticks: int
    alive: bool


def start(pid: int, root: str = "/proc") -> Start | None:
    """Read fields 3 and 22 of stat; None where there is no such process, or no sensible stat."""
    try:
        with open(f"{root}/{pid}/stat", "rb") as file:
            stat = file.read(4096)
        # comm, the second field, may hold spaces and brackets: count from its last bracket.
        fields = stat[stat.rindex(b")") + 2 :].split()
        return Start(int(fields[19]), fields[0] not in _DEAD)
    except (OSError, ValueError, IndexError):
        return None


def is_running(pid: int, ticks: int) -> bool:
    """Return whether the process that started at `ticks` (clock ticks since boot) still runs.

    One that /proc hides (hidepid) is believed to be the same while there is one with its pid.
    """
    if pid <= 0:
        return False
    found = start(pid)
    if found is not None:
        return found.alive and found.ticks == ticks
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False  # it has come since we looked


def start_ticks(pid: int, root: str = "/proc") -> int | None:
    """Return the start of a process in clock ticks since boot; None where there is none.

    Together with the pid it is a key that no later process shares.
    """
    found = start(pid, root)
    return None if found is None else found.ticks
