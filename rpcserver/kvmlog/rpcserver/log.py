# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's log: lines on stderr, in plain words."""

from __future__ import annotations

import contextlib
import sys


def log(words: str) -> None:
    """Writes a line; whoever closed stderr does not want it, and no call fails for that."""
    with contextlib.suppress(OSError, ValueError):
        print(f"kvmlog rpc: {words}", file=sys.stderr, flush=True)
