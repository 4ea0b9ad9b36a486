# SPDX-License-Identifier: GPL-2.0-or-later
"""Pressure stall information, /proc/pressure: Documentation/accounting/psi.rst."""

from __future__ import annotations

import os
import re
from typing import Final

from kvmlog.vmstats import host_files
from kvmlog.vmstats.host import Pressure

_RESOURCES: Final = ("cpu", "memory", "io")
_PERCENT: Final = r"(\d{1,3}\.\d{1,9})"
_LINE: Final = re.compile(
    rf"(some|full) avg10={_PERCENT} avg60={_PERCENT} avg300={_PERCENT} total=(\d{{1,20}})",
    re.ASCII,
)


def read(root: str = "/") -> tuple[Pressure, ...] | None:
    """Return all lines; None for a kernel that has none, or was booted with psi=0."""
    found = tuple(
        Pressure(
            resource=resource,
            kind=match[1],
            avg10_percent=float(match[2]),
            avg60_percent=float(match[3]),
            avg300_percent=float(match[4]),
            total_us=int(match[5]),
        )
        for resource in _RESOURCES
        for match in _LINE.finditer(
            host_files.text(os.path.join(root, f"proc/pressure/{resource}")) or ""
        )
    )
    return found or None
