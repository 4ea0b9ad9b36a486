# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's log: one line per event on stderr, in plain words."""

from __future__ import annotations

import contextlib
import sys


def log(sentence: str) -> None:
    """Writes one line; who closed stderr does not want it."""
    with contextlib.suppress(OSError, ValueError):
        print(f"kvmlog bridge: {sentence}", file=sys.stderr, flush=True)
