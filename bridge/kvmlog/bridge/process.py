# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts about processes from /proc (proc(5))."""

from __future__ import annotations


def start_ticks(pid: int) -> int | None:
    """Start of a process in clock ticks since boot (field 22 of stat); None when there is none.

    With the pid it is a key that no later process shares.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # comm, the second field, may hold spaces and brackets: count from its last bracket.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return int(fields[19])
