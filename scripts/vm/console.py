# SPDX-License-Identifier: GPL-2.0-or-later
"""Problems that a kernel reports on its console."""

from __future__ import annotations

import re

_PROBLEM = re.compile(
    r"(?:"
    r"WARNING: |BUG: |Kernel panic|Oops|general protection fault|------------\[ cut here"
    r"|INFO: (?:possible|rcu|task|trying to register|lockdep|suspicious)"
    r"|suspicious RCU usage|sleeping function called from invalid context|soft lockup"
    r"|hard LOCKUP|UBSAN|KASAN|KFENCE|KCSAN|refcount_t:|Bad page state|scheduling while atomic"
    r"|kmemleak: \d+ new suspected|kmemleak: .*(?:disabled|exceeded)|BUG \S+ \("
    r"|turning off the locking correctness validator|list_(?:add|del) corruption"
    r"|kernel BUG at|unable to handle|stack segment|double fault|[Mm]issing ENDBR"
    r"|init: FATAL"
    r")"
)


def problems(console: str) -> tuple[str, ...]:
    """The lines that tell of a panic, an oops, a splat or a warning, as they stand there."""
    return tuple(line.strip() for line in console.splitlines() if _PROBLEM.search(line))


def culprits(console: str, marker: str) -> set[str]:
    """Return what follows the last `marker` before each problem; "" for one without a marker."""
    found: set[str] = set()
    current = ""
    for line in console.splitlines():
        _, marked, name = line.partition(marker)
        if marked:
            current = name.strip()
        elif _PROBLEM.search(line):
            found.add(current)
    return found


def tail(console: str, lines: int = 80) -> str:
    """The last lines, for showing when a VM hangs."""
    return "\n".join(console.splitlines()[-lines:])
