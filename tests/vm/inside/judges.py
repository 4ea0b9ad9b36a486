# SPDX-License-Identifier: GPL-2.0-or-later
"""What a debug kernel knows besides its log: memory that nothing refers to any more, its lockdep.

Other kernels have neither; there nothing is found.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

KMEMLEAK = Path("/sys/kernel/debug/kmemleak")
LOCKDEP = Path("/proc/lockdep_stats")
# kmemleak tells of no object that is younger, and some only at the second look.
_MIN_AGE_S = 6
_SCANS = 2


def forget_leaks() -> None:
    """Have kmemleak not tell what the boot has left."""
    if KMEMLEAK.exists():
        KMEMLEAK.write_text("scan")
        KMEMLEAK.write_text("clear")


def leaks() -> str:
    """What kmemleak has found since; empty where there is no leak."""
    if not KMEMLEAK.exists():
        return ""
    for _ in range(_SCANS):
        time.sleep(_MIN_AGE_S)
        KMEMLEAK.write_text("scan")
    return KMEMLEAK.read_text()


def lockdep_watches() -> bool:
    """Return whether there is a lockdep that watches: it ends at its first report, or when full."""
    return LOCKDEP.exists() and bool(
        re.search(r"^ debug_locks:\s+1$", LOCKDEP.read_text(), re.MULTILINE)
    )
