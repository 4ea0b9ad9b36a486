# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of this host: /proc/meminfo (proc(5)), and transparent huge pages."""

from __future__ import annotations

import os
import re
from typing import Final

from kvmlog.vmstats import host_files
from kvmlog.vmstats.host import HostMemory

_LINE: Final = re.compile(r"^(\w+):\s+(\d{1,18}) kB$", re.MULTILINE)
_ENABLED: Final = "sys/kernel/mm/transparent_hugepage/enabled"
_CHOSEN: Final = re.compile(r"\[(\w+)\]")


def read(root: str = "/") -> HostMemory | None:
    """Return the host's memory; None where the kernel does not tell."""
    meminfo = host_files.text(os.path.join(root, "proc/meminfo")) or ""
    found = {match[1]: int(match[2]) << 10 for match in _LINE.finditer(meminfo)}
    if "MemTotal" not in found:
        return None
    chosen = _CHOSEN.search(host_files.text(os.path.join(root, _ENABLED)) or "")
    return HostMemory(
        total_bytes=found["MemTotal"],
        free_bytes=found.get("MemFree"),
        available_bytes=found.get("MemAvailable"),
        cached_bytes=found.get("Cached"),
        swap_total_bytes=found.get("SwapTotal"),
        swap_free_bytes=found.get("SwapFree"),
        anonymous_huge_bytes=found.get("AnonHugePages"),
        transparent_huge_pages=None if chosen is None else chosen[1],
    )
